// The program that server-process.ts runs: `varve serve` with a configuration given as JSON. A
// second argument names a FIFO that nobody writes: whoever opens it is held as by a hung disk.
import { open } from 'node:fs';
import { defaultConfiguration } from '../../src/config/configuration.ts';
import { serve } from '../../src/server/serve.ts';

const [configuration, fifo] = process.argv.slice(2);
if (fifo !== undefined) open(fifo, 'r', () => undefined);
await serve({ ...defaultConfiguration, ...(JSON.parse(configuration ?? '{}') as object) }, {});
