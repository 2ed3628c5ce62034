// The server under test as a process: started, waited for, killed, stopped.
package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/proxy"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
)

const logTailLines = 60

var (
	servingTimeout = patient(20 * time.Second)
	stopTimeout    = patient(5 * time.Second)
	callTimeout    = patient(60 * time.Second)
)

// server is one root directory and the process that serves it; the process changes with
// every start. It is used by one goroutine.
type server struct {
	command string
	root    string
	scratch string
	// daemon attaches block devices; nil without any. It outlives the server's deaths.
	daemon *exec.Cmd

	process    *exec.Cmd
	exited     chan struct{}
	killed     bool
	connection *grpc.ClientConn
	starts     int
	// startTrace is what the current process had passed when it began to serve.
	startTrace []string
}

// newServer serves a root; a deferred one leaves directories for Cleanup instead of freeing them
// after Remove. The machine's own configuration is not read.
func newServer(settings settings, root string, deferred bool) (*server, error) {
	scratch, err := os.MkdirTemp("", "conformance-")
	if err != nil {
		return nil, err
	}
	s := &server{command: settings.command, root: root, scratch: scratch}
	configuration := map[string]any{"asyncRemove": deferred}
	maps.Copy(configuration, settings.blocks.configuration(s.daemonAddress(), settings.transport))
	text, err := json.Marshal(configuration)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.configPath(), text, 0600); err != nil || settings.blocks == blockNone {
		return s, err
	}
	s.daemon, err = startBlockDaemon(settings, s.daemonAddress(), s.logPath())
	return s, err
}

func (s *server) address() string    { return filepath.Join(s.scratch, "s.sock") }
func (s *server) configPath() string { return filepath.Join(s.scratch, "config.json") }
func (s *server) logPath() string    { return filepath.Join(s.scratch, "log") }
func (s *server) tracePath() string {
	return filepath.Join(s.scratch, fmt.Sprintf("trace-%d", s.starts))
}

// start runs the command and waits until its health says SERVING. A crash point other than
// "" is given to it; errDied says that the process ended before it served.
func (s *server) start(ctx context.Context, crashAt string) error {
	s.starts++
	log, err := os.OpenFile(s.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0600)
	if err != nil {
		return err
	}
	defer log.Close()
	process := exec.Command(s.command, "serve", "--root", s.root, "--address", s.address(),
		"--config", s.configPath())
	process.Stdout, process.Stderr = log, log
	process.Env = append(os.Environ(), "VARVE_CRASH_TRACE="+s.tracePath())
	if crashAt != "" {
		process.Env = append(process.Env, "VARVE_CRASH_AT="+crashAt)
	}
	if err := startProcess(process); err != nil {
		return fmt.Errorf("starting the server: %w", err)
	}
	exited := make(chan struct{})
	go func() {
		_ = process.Wait()
		close(exited)
	}()
	s.process, s.exited, s.killed = process, exited, false
	if err := s.connect(); err != nil {
		return err
	}
	if err := s.waitServing(ctx); err != nil {
		return err
	}
	s.startTrace = s.trace()
	return nil
}

var errDied = errors.New("the server ended before it served")

func (s *server) connect() error {
	if s.connection != nil {
		s.connection.Close()
	}
	fast := backoff.Config{BaseDelay: 5 * time.Millisecond, Multiplier: 1.5, MaxDelay: 50 * time.Millisecond}
	connection, err := grpc.NewClient("unix://"+s.address(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: fast, MinConnectTimeout: time.Second}),
		grpc.WithUnaryInterceptor(limitCall))
	s.connection = connection
	return err
}

// limitCall lets a call that hangs fail by name instead of running into the test's end.
func limitCall(ctx context.Context, method string, request, reply any, connection *grpc.ClientConn,
	invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return invoke(ctx, method, request, reply, connection, options...)
}

func (s *server) waitServing(ctx context.Context) error {
	health := grpc_health_v1.NewHealthClient(s.connection)
	end := time.Now().Add(servingTimeout)
	answer := "no answer"
	for time.Now().Before(end) {
		check, cancel := context.WithTimeout(ctx, time.Second)
		reply, err := health.Check(check, &grpc_health_v1.HealthCheckRequest{})
		cancel()
		if err != nil {
			answer = err.Error()
		} else if answer = reply.Status.String(); reply.Status == grpc_health_v1.HealthCheckResponse_SERVING {
			return nil
		}
		select {
		case <-s.exited:
			return fmt.Errorf("%w: %s", errDied, s.process.ProcessState)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return fmt.Errorf("the server was not SERVING within %s: %s\n%s", servingTimeout, answer, s.logTail())
}

func (s *server) snapshotter() snapshots.Snapshotter {
	return proxy.NewSnapshotter(snapshotsapi.NewSnapshotsClient(s.connection), "conformance")
}

// kill is kill -9 of the server alone: what it started goes on, as after a real crash.
func (s *server) kill() {
	s.killed = true
	_ = s.process.Process.Kill()
	<-s.exited
}

// endedWithin says whether the process ends by itself in that time.
func (s *server) endedWithin(limit time.Duration) bool {
	select {
	case <-s.exited:
		return true
	default:
	}
	select {
	case <-s.exited:
		return true
	case <-time.After(limit):
		return false
	}
}

// killedItself says that the process has ended by SIGKILL that this harness did not send.
func (s *server) killedItself() bool {
	if s.killed || !s.endedWithin(0) {
		return false
	}
	status, ok := s.process.ProcessState.Sys().(syscall.WaitStatus)
	// A wrapper script reports its child's signal as 128 + 9.
	return ok && (status.Signaled() && status.Signal() == syscall.SIGKILL || status.ExitStatus() == 137)
}

// stop sends SIGTERM and demands an orderly end in time.
func (s *server) stop() error {
	if s.process == nil {
		return nil
	}
	defer s.connection.Close()
	if s.endedWithin(0) {
		return fmt.Errorf("the server had ended before SIGTERM: %s", s.process.ProcessState)
	}
	_ = s.process.Process.Signal(syscall.SIGTERM)
	if !s.endedWithin(stopTimeout) {
		s.kill()
		return fmt.Errorf("the server did not exit within %s of SIGTERM", stopTimeout)
	}
	if !s.process.ProcessState.Success() {
		return fmt.Errorf("after SIGTERM the server ended with %s", s.process.ProcessState)
	}
	return nil
}

// discard ends whatever is left of the server's process group and deletes the scratch files.
func (s *server) discard() error {
	if s.process != nil {
		_ = syscall.Kill(-s.process.Process.Pid, syscall.SIGKILL)
	}
	if s.daemon != nil {
		stopBlockDaemon(s.daemon)
	}
	return os.RemoveAll(s.scratch)
}

func (s *server) logTail() string {
	log, err := os.ReadFile(s.logPath())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(log), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-logTailLines):], "\n")
}
