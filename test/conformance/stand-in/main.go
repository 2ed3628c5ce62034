// Command stand-in is a snapshotter to try the harness itself on: containerd's own overlayfs
// behind the command line, health service and crash points that the harness expects.
// STAND_IN_FAULT makes it misbehave in a named way, each of which the harness must notice.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/contrib/snapshotservice"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// The faults, each to be noticed by the harness.
const (
	faultLabels      = "labels"       // the labels of a Prepare are lost
	faultTerm        = "term"         // SIGTERM is ignored
	faultMount       = "mount"        // a mount is left below root
	faultHalfPrepare = "half-prepare" // a Prepare cut off by a crash leaves other labels
	faultLateRemove  = "late-remove"  // a Remove answers before it is done
	faultNotServing  = "not-serving"  // the server never says that it serves
	faultLeftOnDisk  = "left-on-disk" // a directory is left after Cleanup

	lateRemoveDelay = 300 * time.Millisecond
)

var fault = os.Getenv("STAND_IN_FAULT")

func main() {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	root := flags.String("root", "", "directory of the snapshots")
	address := flags.String("address", "", "unix socket")
	_ = flags.String("config", "", "not read")
	if len(os.Args) < 2 || os.Args[1] != "serve" {
		fmt.Fprintln(os.Stderr, "usage: stand-in serve --root DIR --address SOCKET")
		os.Exit(2)
	}
	_ = flags.Parse(os.Args[2:])
	if err := serve(*root, *address); err != nil {
		fmt.Fprintln(os.Stderr, "stand-in:", err)
		os.Exit(1)
	}
}

func serve(root, address string) error {
	pass("start")
	snapshotter, err := overlay.NewSnapshotter(root)
	if err != nil {
		return err
	}
	defer snapshotter.Close()
	if err := os.Remove(address); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", address)
	if err != nil {
		return err
	}
	if fault == faultMount {
		if err := leaveMount(filepath.Join(root, "left")); err != nil {
			return err
		}
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(boundaries))
	snapshotsapi.RegisterSnapshotsServer(server, snapshotservice.FromSnapshotter(faulty{snapshotter, root}))
	healthServer := health.NewServer()
	if fault == faultNotServing {
		healthServer.SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	}
	grpc_health_v1.RegisterHealthServer(server, healthServer)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		<-signals
		if fault != faultTerm {
			server.Stop()
		}
	}()
	return server.Serve(listener)
}

func leaveMount(directory string) error {
	if err := os.MkdirAll(directory, 0700); err != nil {
		return err
	}
	return syscall.Mount("tmpfs", directory, "tmpfs", 0, "")
}

// faulty is the snapshotter with the fault in it.
type faulty struct {
	snapshots.Snapshotter
	root string
}

func (f faulty) Cleanup(ctx context.Context) error {
	err := f.Snapshotter.(snapshots.Cleaner).Cleanup(ctx)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err == nil && fault == faultLeftOnDisk {
		err = os.MkdirAll(filepath.Join(f.root, "snapshots", "7"), 0700)
	}
	return err
}

// Walk hides that containerd's store has no bucket before the first snapshot.
func (f faulty) Walk(ctx context.Context, fn snapshots.WalkFunc, filters ...string) error {
	err := f.Snapshotter.Walk(ctx, fn, filters...)
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

func (f faulty) Remove(ctx context.Context, key string) error {
	if fault != faultLateRemove {
		return f.Snapshotter.Remove(ctx, key)
	}
	if _, err := f.Snapshotter.Stat(ctx, key); err != nil {
		return err
	}
	time.AfterFunc(lateRemoveDelay, func() { _ = f.Snapshotter.Remove(context.Background(), key) })
	return nil
}

// boundaries passes a crash point before and after every call that changes something.
func boundaries(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	method := filepath.Base(info.FullMethod)
	switch method {
	case "Stat", "Usage", "Mounts", "Check":
		return handle(ctx, request)
	}
	if prepare, ok := request.(*snapshotsapi.PrepareSnapshotRequest); ok {
		switch {
		case fault == faultLabels:
			prepare.Labels = nil
		case fault == faultHalfPrepare && reachesNext("Prepare.before"):
			prepare.Labels = nil
			_, _ = handle(ctx, request)
		}
	}
	pass(method + ".before")
	reply, err := handle(ctx, request)
	pass(method + ".after")
	return reply, err
}
