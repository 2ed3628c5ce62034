// The program that server-process.ts runs: `varve serve` with a configuration given as JSON.
import { defaultConfiguration } from '../../src/config/configuration.ts';
import { serve } from '../../src/server/serve.ts';

const given = JSON.parse(process.argv[2] ?? '{}') as object;
process.exit(await serve({ ...defaultConfiguration, ...given }, {}));
