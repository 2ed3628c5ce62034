// The service manager's notification protocol (sd_notify).
import { succeeded, type NativeResult } from './errno.ts';
import { callNative } from './library.ts';

/**
 * Tells the service manager the state, such as `READY=1`; several lines at once are allowed. False
 * when no manager listens, which is no failure.
 */
export const notifyServiceManager = (
  state: string,
  socketPath: string | undefined = process.env['NOTIFY_SOCKET'],
): NativeResult<boolean> => {
  if (socketPath === undefined || socketPath === '') return succeeded(false);
  const result = callNative('notify', [socketPath, state]);
  return result.ok ? succeeded(true) : result;
};
