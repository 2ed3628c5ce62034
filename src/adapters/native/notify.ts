// Tells the service manager how the service is, where there is one.
import { declare } from './library.ts';

const notifyManager = declare('int varve_sys_notify(const char* socketPath, const char* state)');

/** Sends lines such as `READY=1`; without a manager nothing is sent. */
export function notify(state: string): void {
  const socketPath = process.env['NOTIFY_SOCKET'];
  if (socketPath === undefined || socketPath === '') return;
  // A manager that does not listen is no reason to fail: the service is what it is.
  notifyManager()(socketPath, state);
}
