package conformance

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/testsuite"
	"github.com/containerd/log"
)

// The suite treats the first name specially: overlay cannot rename a directory of a lower layer.
const (
	overlayName = "overlayfs"
	deviceName  = "devices"
)

// TestSuite runs every case of the suite, each on a root and a server of its own.
func TestSuite(t *testing.T) {
	s, err := settingsFromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	var total totals
	if s.kill == killDuring {
		for _, deferred := range []bool{false, true} {
			points, err := enumerate(ctx, s, deferred)
			if err != nil {
				t.Fatal(err)
			}
			total.points = append(total.points, points)
		}
	}
	t.Cleanup(func() { report(t, s, &total) })
	suiteName := overlayName
	if s.blocks.writesDevices() {
		suiteName = deviceName
	}
	testsuite.SnapshotterSuite(t, suiteName,
		func(ctx context.Context, root string) (snapshots.Snapshotter, func() error, error) {
			return begin(ctx, s, root, &total)
		})
}

// totals is what all cases did together.
type totals struct {
	kills, aimed, struck atomic.Int64
	// points of a server that frees at once, and of one that leaves it to Cleanup.
	points []*crashPoints
}

// struckShare is how many of the calls that were to die must have died in the long form. The
// rest had nothing to do where they were to die, such as a Cleanup with nothing to free.
const struckShare = 0.85

// report says how often the server was killed; a mode that killed nothing proved nothing.
func report(t *testing.T, s settings, total *totals) {
	if s.kill == killNone {
		return
	}
	fmt.Printf("conformance: kill %s: %d kills, VARVE_SEED=%d\n", s.kill, total.kills.Load(), s.seed)
	if total.kills.Load() == 0 {
		t.Errorf("the server was never killed")
	}
	if s.kill != killDuring {
		return
	}
	struck, aimed := total.struck.Load(), total.aimed.Load()
	fmt.Printf("conformance: kill during: the server died in %d of %d calls\n", struck, aimed)
	if s.long && float64(struck) < struckShare*float64(aimed) {
		t.Errorf("the server died in only %d of %d calls", struck, aimed)
	}
	var all, missed []string
	for _, points := range total.points {
		ofOne, missedOfOne := points.coverage()
		all, missed = append(all, ofOne...), append(missed, missedOfOne...)
	}
	fmt.Printf("conformance: kill during: %d of %d crash points hit\n", len(all)-len(missed), len(all))
	if len(missed) == 0 {
		return
	}
	fmt.Printf("conformance: kill during: not hit: %s\n", strings.Join(missed, ", "))
	// How often a case makes each kind of call is the suite's affair; no kind may be left out.
	died := map[string]int{}
	for _, points := range total.points {
		for method := range points.byMethod {
			died[method] += len(points.hits[method])
		}
	}
	for method, count := range died {
		if s.long && count == 0 {
			t.Errorf("no %s died", method)
		}
	}
}

func begin(ctx context.Context, s settings, root string, total *totals) (snapshots.Snapshotter, func() error, error) {
	name, _ := log.G(ctx).Data["testcase"].(string)
	random := s.random(name)
	deferred := s.kill == killDuring && random.IntN(2) == 1
	server, err := newServer(s, root, deferred)
	if err != nil {
		if server != nil {
			_ = server.discard()
		}
		return nil, nil, err
	}
	if err := server.start(ctx, ""); err != nil {
		tail := server.logTail()
		_ = server.discard()
		return nil, nil, fmt.Errorf("%w\n%s", err, tail)
	}
	sn := &subject{settings: s, server: server, random: random}
	var tested snapshots.Snapshotter = sn
	if s.blocks != blockNone {
		if err := makeEmptyLayer(ctx, server.snapshotter()); err != nil {
			tail := server.logTail()
			_ = server.discard()
			return nil, nil, fmt.Errorf("%w\n%s", err, tail)
		}
		tested = &onBlocks{sn}
	}
	if s.kill == killDuring {
		sn.points = total.points[0]
		if deferred {
			sn.points = total.points[1]
		}
		sn.turn = sn.points.turnsOf(random)
	}
	return tested, func() error {
		err := finish(ctx, sn)
		total.kills.Add(int64(sn.kills))
		total.aimed.Add(int64(sn.aimed))
		total.struck.Add(int64(sn.struck))
		// The test's own log: it is shown when the case fails.
		for line := range strings.Lines(server.logTail()) {
			log.G(ctx).Info("server: " + strings.TrimSpace(line))
		}
		return errors.Join(err, server.discard())
	}, nil
}

// finish removes all snapshots, expects nothing of them to be left on disk, stops the server,
// and expects no mount to be left below its root.
func finish(ctx context.Context, sn *subject) error {
	root := sn.server.root
	// A case that failed half-way leaves its own mounts in its directory beside the root.
	_, unmounting := unmountBelow(filepath.Join(filepath.Dir(root), "work"))
	emptied := emptyOut(ctx, sn)
	stopped := sn.server.stop()
	left, unmountingRoot := unmountBelow(root)
	var leftMounted error
	if len(left) > 0 {
		leftMounted = fmt.Errorf("still mounted after the server's exit: %s", strings.Join(left, " "))
	}
	return errors.Join(unmounting, emptied, stopped, unmountingRoot, leftMounted)
}

// emptyOut removes every snapshot, children first, still with kills, and looks at the disk
// when all is freed.
func emptyOut(ctx context.Context, sn *subject) error {
	var infos []snapshots.Info
	err := sn.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		infos = append(infos, info)
		return nil
	})
	if err != nil {
		return fmt.Errorf("listing what is left: %w", err)
	}
	children := map[string][]string{}
	for _, info := range infos {
		children[info.Parent] = append(children[info.Parent], info.Name)
	}
	if err := removeBelow(ctx, sn, children, ""); err != nil {
		return err
	}
	if err := sn.Cleanup(ctx); err != nil {
		return fmt.Errorf("final Cleanup: %w", err)
	}
	// A crash point that was not reached must not fire from here on.
	if sn.armed != "" {
		sn.server.kill()
		if err := sn.restart(ctx); err != nil {
			return err
		}
	}
	if err := (&cleanup{}).issue(ctx, sn.server.snapshotter()); err != nil {
		return fmt.Errorf("final Cleanup again: %w", err)
	}
	left, err := leftInSnapshots(sn.server.root)
	if err == nil && left != "" {
		err = fmt.Errorf("directories left after everything was removed: %s", left)
	}
	if err != nil || sn.server.daemon == nil {
		return err
	}
	attached, err := devicesLeft(sn.server.command, sn.server.daemonAddress())
	if err == nil && attached != "" {
		err = fmt.Errorf("devices left after everything was removed:%s", attached)
	}
	return err
}

func removeBelow(ctx context.Context, sn *subject, children map[string][]string, parent string) error {
	for _, child := range children[parent] {
		if err := removeBelow(ctx, sn, children, child); err != nil {
			return err
		}
		if err := sn.Remove(ctx, child); err != nil {
			return fmt.Errorf("removing what is left: %q: %w", child, err)
		}
	}
	return nil
}
