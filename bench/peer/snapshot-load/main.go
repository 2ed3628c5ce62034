// Command snapshot-load measures a snapshotter through containerd's proxy client: the same
// client, calls and connection for every server that is compared. Each subcommand prints one
// JSON object on standard output. Any error a server answers ends the run with status 1, so a
// figure is never made of failed calls.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"
)

const usage = `usage:
  snapshot-load cycles --address SOCKET [--clients N] [--connections N] (--seconds T | --cycles K)
  snapshot-load fill   --address SOCKET --snapshots N [--clients N] [--connections N]
  snapshot-load reads  --address SOCKET [--clients N] [--connections N] --seconds T --operation stat|list|mounts`

// load is what the flags of all subcommands together say.
type load struct {
	address     string
	clients     int
	connections int
	seconds     float64
	cycles      int
	snapshots   int
	operation   string
}

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("no subcommand\n%s", usage))
	}
	name := os.Args[1]
	run, known := map[string]func(context.Context, load) (any, error){
		"cycles": cycles, "fill": fill, "reads": reads,
	}[name]
	if !known {
		fail(fmt.Errorf("unknown subcommand %q\n%s", name, usage))
	}
	var l load
	flags := flag.NewFlagSet(name, flag.ExitOnError)
	flags.Usage = func() { fmt.Fprintln(os.Stderr, usage) }
	flags.StringVar(&l.address, "address", "", "unix socket of the snapshotter")
	flags.IntVar(&l.clients, "clients", 1, "calls in flight at once")
	// containerd opens one connection for each proxy snapshotter.
	flags.IntVar(&l.connections, "connections", 1, "connections the clients share")
	flags.Float64Var(&l.seconds, "seconds", 0, "how long to go on")
	flags.IntVar(&l.cycles, "cycles", 0, "how many cycles in all")
	flags.IntVar(&l.snapshots, "snapshots", 0, "how many snapshots to create")
	flags.StringVar(&l.operation, "operation", "stat", "stat, list or mounts")
	_ = flags.Parse(os.Args[2:])
	if l.address == "" || l.clients < 1 || l.connections < 1 || flags.NArg() > 0 {
		fail(fmt.Errorf("an address, and at least one client and connection are needed\n%s", usage))
	}
	result, err := run(context.Background(), l)
	if err != nil {
		fail(fmt.Errorf("%s on %s: %w", name, l.address, err))
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "snapshot-load:", err)
	os.Exit(1)
}

// deadline says when a run of limited duration ends; the zero time is never.
func (l load) deadline(start time.Time) time.Time {
	if l.seconds <= 0 {
		return time.Time{}
	}
	return start.Add(time.Duration(l.seconds * float64(time.Second)))
}
