// The write load: snapshots are created, committed, built upon and removed again.
package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
)

type cyclesResult struct {
	Command         string             `json:"command"`
	Clients         int                `json:"clients"`
	Connections     int                `json:"connections"`
	Cycles          int64              `json:"cycles"`
	Seconds         float64            `json:"seconds"`
	CleanupSeconds  float64            `json:"cleanupSeconds"`
	CyclesPerSecond float64            `json:"cyclesPerSecond"`
	CallsPerSecond  float64            `json:"callsPerSecond"`
	Calls           map[string]summary `json:"calls"`
}

const callsInCycle = 6

// cycles repeats Prepare, Mounts, Commit, Prepare of a child, Remove of both. The measured
// time ends after Cleanup: a server that puts work off pays for it here.
func cycles(ctx context.Context, l load) (any, error) {
	if (l.seconds > 0) == (l.cycles > 0) {
		return nil, errors.New("give either --seconds or --cycles")
	}
	servers, closeAll, err := connect(ctx, l)
	if err != nil {
		return nil, err
	}
	defer closeAll()

	measured := make([]latencies, l.clients)
	var started, finished atomic.Int64
	run := time.Now().UnixNano()
	start := time.Now()
	end := l.deadline(start)
	err = sideBySide(ctx, l, func(ctx context.Context, client int) error {
		measured[client] = latencies{}
		server := servers[client%len(servers)]
		for ctx.Err() == nil {
			number := started.Add(1)
			if l.cycles > 0 && number > int64(l.cycles) || !end.IsZero() && time.Now().After(end) {
				return nil
			}
			name := fmt.Sprintf("load/%d/%d", run, number)
			if err := cycle(ctx, server, name, measured[client]); err != nil {
				return err
			}
			finished.Add(1)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	cleanupStart := time.Now()
	if err := cleanup(ctx, servers[0]); err != nil {
		return nil, fmt.Errorf("Cleanup: %w", err)
	}
	seconds := time.Since(start).Seconds()
	perSecond := float64(finished.Load()) / seconds
	return cyclesResult{
		Command: "cycles", Clients: l.clients, Connections: l.connections,
		Cycles: finished.Load(), Seconds: round(seconds),
		CleanupSeconds:  round(time.Since(cleanupStart).Seconds()),
		CyclesPerSecond: round(perSecond), CallsPerSecond: round(perSecond * callsInCycle),
		Calls: summarize(measured),
	}, nil
}

func cycle(ctx context.Context, server snapshots.Snapshotter, name string, measured latencies) error {
	active, committed, child := name+"/active", name+"/committed", name+"/child"
	steps := []struct {
		call string
		make func() error
	}{
		{"prepare", func() error { return prepare(ctx, server, active, "") }},
		{"mounts", func() error { return mounts(ctx, server, active) }},
		{"commit", func() error { return server.Commit(ctx, committed, active) }},
		{"prepareChild", func() error { return prepare(ctx, server, child, committed) }},
		{"removeChild", func() error { return server.Remove(ctx, child) }},
		{"removeCommitted", func() error { return server.Remove(ctx, committed) }},
	}
	for _, step := range steps {
		if err := measured.timed(step.call, step.make); err != nil {
			return fmt.Errorf("%s of %s: %w", step.call, name, err)
		}
	}
	return nil
}

// prepare fails when a server answers without a mount: such an answer would be no work done.
func prepare(ctx context.Context, server snapshots.Snapshotter, key, parent string) error {
	answer, err := server.Prepare(ctx, key, parent)
	if err == nil && len(answer) == 0 {
		return errors.New("answered without mounts")
	}
	return err
}

func mounts(ctx context.Context, server snapshots.Snapshotter, key string) error {
	answer, err := server.Mounts(ctx, key)
	if err == nil && len(answer) == 0 {
		return errors.New("answered without mounts")
	}
	return err
}
