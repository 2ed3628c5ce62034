// The sets of lookups that are compiled in; which of them may run is for lookup_sets() to say.
#pragma once

#include "lsmt/lookup.h"

namespace varve::lsmt {

extern const LookupSet kScalarLookups;
#ifdef __x86_64__
extern const LookupSet kAvx2Lookups;
extern const LookupSet kAvx512Lookups;
#endif

}  // namespace varve::lsmt
