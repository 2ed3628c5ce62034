// Filling a server with committed snapshots, as images would.
package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
)

const chainLength = 10

type fillResult struct {
	Command            string  `json:"command"`
	Clients            int     `json:"clients"`
	Snapshots          int     `json:"snapshots"`
	Seconds            float64 `json:"seconds"`
	SnapshotsPerSecond float64 `json:"snapshotsPerSecond"`
}

// fill creates committed snapshots in chains of ten; the last chain takes what is left over.
func fill(ctx context.Context, l load) (any, error) {
	if l.snapshots < 1 {
		return nil, errors.New("give --snapshots")
	}
	servers, closeAll, err := connect(ctx, l)
	if err != nil {
		return nil, err
	}
	defer closeAll()

	run := time.Now().UnixNano()
	start := time.Now()
	var nextChain atomic.Int64
	err = sideBySide(ctx, l, func(ctx context.Context, client int) error {
		for ctx.Err() == nil {
			chain := int(nextChain.Add(1)) - 1
			length := min(chainLength, l.snapshots-chain*chainLength)
			if length <= 0 {
				return nil
			}
			name := fmt.Sprintf("fill/%d/%d", run, chain)
			if err := fillChain(ctx, servers[client%len(servers)], name, length); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	seconds := time.Since(start).Seconds()
	return fillResult{
		Command: "fill", Clients: l.clients, Snapshots: l.snapshots, Seconds: round(seconds),
		SnapshotsPerSecond: round(float64(l.snapshots) / seconds),
	}, nil
}

func fillChain(ctx context.Context, server snapshots.Snapshotter, name string, length int) error {
	parent := ""
	for layer := range length {
		committed := fmt.Sprintf("%s/%d", name, layer)
		if err := prepare(ctx, server, committed+"/active", parent); err != nil {
			return fmt.Errorf("prepare of %s: %w", committed, err)
		}
		if err := server.Commit(ctx, committed, committed+"/active"); err != nil {
			return fmt.Errorf("commit of %s: %w", committed, err)
		}
		parent = committed
	}
	return nil
}
