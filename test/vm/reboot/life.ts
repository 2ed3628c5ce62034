// One boot of a machine that is rebooted again and again (../reboot.test.ts): what was there is
// there again, and in the middle of a Commit the power is lost, or in the end all is removed.
//
//   life.ts PLAN (JSON, see plan.ts)
import { existsSync, writeFileSync } from 'node:fs';
import { Containers } from './containers.ts';
import { emptyLine, foundLine, type Plan } from './plan.ts';
import { losePower, syncNothingByItself, tell } from './power.ts';
import { Snapshots } from './snapshots.ts';

const settled = '/scratch/settled';

const plan = JSON.parse(process.argv[2] ?? '') as Plan;
const containers = plan.hasContainerd ? await Containers.start(plan.transport) : undefined;
const snapshots = await Snapshots.start(plan);
if (existsSync(settled)) {
  await containers?.check();
  await snapshots.check(plan);
  tell(foundLine);
} else {
  await containers?.settle();
  await snapshots.settle();
  writeFileSync(settled, '', { flush: true });
}
if (plan.losses.length > 0) {
  await syncNothingByItself();
  for (const loss of plan.losses) await snapshots.commit(loss);
  await losePower();
}
await containers?.remove();
await snapshots.remove(plan);
await snapshots.end();
await containers?.end();
tell(emptyLine);
process.exit(0);
