// One boot of a machine that is rebooted again and again (../reboot.test.ts): what was there is
// there again, and the power is lost, in the middle of a Commit or not; in the end all is removed.
//
//   life.ts PLAN (JSON, see plan.ts)
import { existsSync, writeFileSync } from 'node:fs';
import { Containers } from './containers.ts';
import { emptyLine, foundLine, type Plan } from './plan.ts';
import { losePower, syncNothingByItself, tell } from './power.ts';
import { Snapshots } from './snapshots.ts';

const settled = '/scratch/settled';

const plan = JSON.parse(process.argv[2] ?? '') as Plan;
const life =
  plan.life === 'containers' ? await Containers.start(plan.transport) : await Snapshots.start(plan);
if (existsSync(settled)) {
  await life.check(plan);
  tell(foundLine);
} else {
  await life.settle();
  writeFileSync(settled, '', { flush: true });
}
if (!plan.isLast) {
  await syncNothingByItself();
  await life.commit(plan.losses);
  await losePower();
}
await life.remove(plan);
await life.end();
tell(emptyLine);
process.exit(0);
