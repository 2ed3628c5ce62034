// The read load: one kind of call, again and again, on what the server already holds.
package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
)

// As many containers as a busy node runs; Mounts is asked for these.
const mountedContainers = 32

type readsResult struct {
	Command        string             `json:"command"`
	Operation      string             `json:"operation"`
	Clients        int                `json:"clients"`
	Connections    int                `json:"connections"`
	Present        int                `json:"present"`
	Count          int64              `json:"count"`
	Seconds        float64            `json:"seconds"`
	CallsPerSecond float64            `json:"callsPerSecond"`
	Calls          map[string]summary `json:"calls"`
}

type readCall func(ctx context.Context, server snapshots.Snapshotter) error

func reads(ctx context.Context, l load) (any, error) {
	if l.seconds <= 0 {
		return nil, errors.New("give --seconds")
	}
	servers, closeAll, err := connect(ctx, l)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	committed, present, err := present(ctx, servers[0])
	if err != nil {
		return nil, err
	}
	call, release, err := readCallOf(ctx, l, servers[0], committed)
	if err != nil {
		return nil, err
	}
	defer release()

	measured := make([]latencies, l.clients)
	var finished atomic.Int64
	start := time.Now()
	end := l.deadline(start)
	err = sideBySide(ctx, l, func(ctx context.Context, client int) error {
		measured[client] = latencies{}
		server := servers[client%len(servers)]
		for ctx.Err() == nil && time.Now().Before(end) {
			err := measured[client].timed(l.operation, func() error { return call(ctx, server) })
			if err != nil {
				return fmt.Errorf("%s: %w", l.operation, err)
			}
			finished.Add(1)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	seconds := time.Since(start).Seconds()
	return readsResult{
		Command: "reads", Operation: l.operation, Clients: l.clients, Connections: l.connections,
		Present: present, Count: finished.Load(), Seconds: round(seconds),
		CallsPerSecond: round(float64(finished.Load()) / seconds), Calls: summarize(measured),
	}, nil
}

// present lists what the server holds: the names of committed snapshots and the count of all.
func present(ctx context.Context, server snapshots.Snapshotter) ([]string, int, error) {
	var committed []string
	all := 0
	err := server.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		all++
		if info.Kind == snapshots.KindCommitted {
			committed = append(committed, info.Name)
		}
		return nil
	})
	if err == nil && len(committed) == 0 {
		err = errors.New("the server holds no committed snapshot: run fill first")
	}
	return committed, all, err
}

func readCallOf(ctx context.Context, l load, server snapshots.Snapshotter, committed []string) (readCall, func(), error) {
	nothing := func() {}
	switch l.operation {
	case "stat":
		return func(ctx context.Context, server snapshots.Snapshotter) error {
			_, err := server.Stat(ctx, committed[rand.IntN(len(committed))])
			return err
		}, nothing, nil
	case "list":
		return func(ctx context.Context, server snapshots.Snapshotter) error {
			_, count, err := present(ctx, server)
			if err == nil && count < len(committed) {
				return fmt.Errorf("listed %d of at least %d snapshots", count, len(committed))
			}
			return err
		}, nothing, nil
	case "mounts":
		return mountsCall(ctx, server, committed)
	}
	return nil, nil, fmt.Errorf("unknown operation %q: stat, list or mounts", l.operation)
}

// mountsCall prepares containers before the time is taken, and removes them after.
func mountsCall(ctx context.Context, server snapshots.Snapshotter, committed []string) (readCall, func(), error) {
	var keys []string
	release := func() {
		for _, key := range keys {
			if err := server.Remove(context.Background(), key); err != nil {
				fail(fmt.Errorf("removing %s: %w", key, err))
			}
		}
	}
	run := time.Now().UnixNano()
	for number := range mountedContainers {
		key := fmt.Sprintf("reads/%d/%d", run, number)
		parent := committed[rand.IntN(len(committed))]
		if err := prepare(ctx, server, key, parent); err != nil {
			release()
			return nil, nil, fmt.Errorf("prepare of %s: %w", key, err)
		}
		keys = append(keys, key)
	}
	return func(ctx context.Context, server snapshots.Snapshotter) error {
		return mounts(ctx, server, keys[rand.IntN(len(keys))])
	}, release, nil
}
