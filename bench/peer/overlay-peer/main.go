// Command overlay-peer serves containerd's own overlayfs snapshotter over gRPC on a unix
// socket. It is what varve is measured against, so it adds nothing of its own: the metadata
// store is containerd's, synced at each commit as by default, and the service is containerd's.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"syscall"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/contrib/snapshotservice"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

func main() {
	root := flag.String("root", "", "directory that holds the snapshots and their metadata")
	address := flag.String("address", "", "unix socket to serve on")
	asyncRemove := flag.Bool("async-remove", false, "leave removed directories to Cleanup")
	flag.Parse()
	if *root == "" || *address == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: overlay-peer --root DIR --address SOCKET [--async-remove]")
		os.Exit(2)
	}
	if err := serve(*root, *address, *asyncRemove); err != nil {
		fmt.Fprintln(os.Stderr, "overlay-peer:", err)
		os.Exit(1)
	}
}

func serve(root, address string, asyncRemove bool) error {
	var options []overlay.Opt
	if asyncRemove {
		options = append(options, overlay.AsynchronousRemove)
	}
	snapshotter, err := overlay.NewSnapshotter(root, options...)
	if err != nil {
		return fmt.Errorf("opening %s: %w", root, err)
	}
	defer snapshotter.Close()

	if err := os.Remove(address); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", address)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	snapshotsapi.RegisterSnapshotsServer(server, snapshotservice.FromSnapshotter(snapshotter))
	// The empty service name is SERVING from the start.
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-signals
		server.Stop()
	}()
	return server.Serve(listener)
}
