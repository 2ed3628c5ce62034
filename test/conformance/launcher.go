// Starting processes that die with this one.
package conformance

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

type launch struct {
	process *exec.Cmd
	result  chan error
}

var launches = sync.OnceValue(func() chan<- launch {
	requests := make(chan launch)
	go func() {
		// The signal is tied to the thread that started the process, and the mount calls of
		// the suite end threads. This one lasts.
		runtime.LockOSThread()
		for request := range requests {
			request.result <- request.process.Start()
		}
	}()
	return requests
})

// startProcess starts it in a group of its own, so that at the end nothing that it started is
// left, and has it killed when this process ends.
func startProcess(process *exec.Cmd) error {
	process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	result := make(chan error)
	launches() <- launch{process, result}
	return <-result
}
