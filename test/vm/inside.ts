// What tests that are run in the virtual machine know of it.

/** Names the kernel; set in the machine alone. */
export const machineVariable = 'VARVE_VM_KERNEL';

/** Why tests for this kernel do not run here; false if they do. */
export const skipOutside = (kernel: string): string | false =>
  process.env[machineVariable] === kernel
    ? false
    : `runs in the virtual machine with kernel ${kernel} (test/vm/run-tests.ts)`;
