// The connections to the server, and the clients that work side by side over them.
package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/proxy"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
)

const connectTimeout = 10 * time.Second

// connect opens the connections, waits until each works and returns a snapshotter for each.
func connect(ctx context.Context, l load) ([]snapshots.Snapshotter, func(), error) {
	var opened []*grpc.ClientConn
	closeAll := func() {
		for _, connection := range opened {
			connection.Close()
		}
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var snapshotters []snapshots.Snapshotter
	for range l.connections {
		connection, err := grpc.NewClient("unix://"+l.address,
			grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		opened = append(opened, connection)
		_, err = grpc_health_v1.NewHealthClient(connection).Check(ctx,
			&grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("the server does not answer a health check: %w", err)
		}
		client := snapshotsapi.NewSnapshotsClient(connection)
		snapshotters = append(snapshotters, proxy.NewSnapshotter(client, "load"))
	}
	return snapshotters, closeAll, nil
}

// sideBySide runs work once for each client and returns the first error; the context that the
// others get is cancelled by it.
func sideBySide(ctx context.Context, l load, work func(ctx context.Context, client int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for client := range l.clients {
		group.Add(1)
		go func() {
			defer group.Done()
			if err := work(ctx, client); err != nil {
				cancel(err)
			}
		}()
	}
	group.Wait()
	return context.Cause(ctx)
}

func cleanup(ctx context.Context, snapshotter snapshots.Snapshotter) error {
	cleaner, ok := snapshotter.(snapshots.Cleaner)
	if !ok {
		return fmt.Errorf("the proxy client has no Cleanup")
	}
	return cleaner.Cleanup(ctx)
}
