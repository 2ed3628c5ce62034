// The snapshotter that the suite is given: it passes calls on to the server, and kills the
// server as the mode demands.
package conformance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/errdefs"
)

// subject serializes calls: whose call a death interrupted must be certain.
type subject struct {
	settings settings
	server   *server
	points   *crashPoints
	turn     turns
	random   *rand.Rand

	mutex   sync.Mutex
	calls   int
	sampled int
	kills   int
	// aimed counts the calls that were to die and were not refused, struck those that did.
	aimed, struck int
	armed         string
}

var (
	// dyingTime is how long after a broken connection the process may take to be gone.
	dyingTime = patient(3 * time.Second)
	// settleTime is how long work in flight may take to be completed after a start.
	settleTime = patient(5 * time.Second)
)

const (
	settlePause = 20 * time.Millisecond
	// afterTime is how long the work that an answered call started may take to reach its point.
	afterTime = time.Second
	// armingsMax is how often a server is armed for one call before the call is made anyway.
	armingsMax = 3
)

// wanted decides whether the server is killed at this call: at every one, or at some of the
// first and ever fewer of the later ones, and in every case at one at least.
func (s *subject) wanted() bool {
	s.calls++
	if s.settings.long {
		return true
	}
	chance := min(0.5, 2/float64(2+s.calls))
	want := s.random.Float64() < chance || s.calls == 2 && s.sampled == 0
	if want {
		s.sampled++
	}
	return want
}

// restart replaces a dead process by one without a crash point.
func (s *subject) restart(ctx context.Context) error {
	s.armed = ""
	return s.server.start(ctx, "")
}

// read makes a call that changes nothing: after a death it is simply made again.
func (s *subject) read(ctx context.Context, call func(snapshots.Snapshotter) error) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if err := s.killBetween(ctx); err != nil {
		return err
	}
	return s.readAgain(ctx, call)
}

// readAgain survives the death of a server that was armed for an earlier call.
func (s *subject) readAgain(ctx context.Context, call func(snapshots.Snapshotter) error) error {
	err := call(s.server.snapshotter())
	died, unexpected := s.died(err)
	if unexpected != nil {
		return unexpected
	}
	if !died {
		return err
	}
	if err := s.restart(ctx); err != nil {
		return err
	}
	return call(s.server.snapshotter())
}

func (s *subject) killBetween(ctx context.Context) error {
	if s.settings.kill != killBetween || !s.wanted() {
		return nil
	}
	s.kills++
	s.server.kill()
	return s.restart(ctx)
}

// died says whether an error is the server's death at the armed point. Any other death is
// an error of its own, never something to recover from.
func (s *subject) died(err error) (bool, error) {
	if err == nil || !connectionLost(err) {
		return false, nil
	}
	if !s.server.endedWithin(dyingTime) {
		return false, fmt.Errorf("the connection broke but the server lives: %w", err)
	}
	if s.armed == "" || !s.server.killedItself() {
		return false, fmt.Errorf("the server died by itself (%s): %w", s.server.process.ProcessState, err)
	}
	s.kills++
	return true, nil
}

func connectionLost(err error) bool {
	return errdefs.IsUnavailable(err) || status.Code(err) == codes.Unavailable
}

// change makes a call that changes something.
func (s *subject) change(ctx context.Context, c change) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	switch s.settings.kill {
	case killBetween:
		if err := s.killBetween(ctx); err != nil {
			return err
		}
		return c.issue(ctx, s.server.snapshotter())
	case killDuring:
		return s.changeKilled(ctx, c)
	}
	return c.issue(ctx, s.server.snapshotter())
}

// changeKilled arms the server if this call is wanted, makes the call, and when the server
// dies in it finds out by looking whether it took effect; if not it is issued again.
func (s *subject) changeKilled(ctx context.Context, c change) error {
	var at passage
	aimed := false
	if s.wanted() {
		at, aimed = s.points.next(c.method(), s.turn)
	}
	before, err := s.prepareKill(ctx, c, at, aimed)
	if err != nil {
		return fmt.Errorf("before %s: %w", c.method(), err)
	}
	issued := c.issue(ctx, s.server.snapshotter())
	point := s.armed
	died, unexpected := s.died(issued)
	if unexpected != nil {
		return unexpected
	}
	if !died {
		// A refusal passes no point. What was answered may still be at work.
		if !aimed || issued != nil {
			return issued
		}
		s.aimed++
		if s.armed == "" || !s.server.endedWithin(afterTime) {
			return nil
		}
		if !s.server.killedItself() {
			return fmt.Errorf("the server died by itself (%s)", s.server.process.ProcessState)
		}
		s.kills++
		s.strike(c, at)
		return s.restart(ctx)
	}
	if aimed {
		s.aimed++
		s.strike(c, at)
	}
	if err := s.restart(ctx); err != nil {
		return fmt.Errorf("after dying at %s in %s: %w", point, c.method(), err)
	}
	if err := s.resolve(ctx, c, before); err != nil {
		return fmt.Errorf("after dying at %s in %s: %w", point, c.method(), err)
	}
	return nil
}

func (s *subject) strike(c change, at passage) {
	s.struck++
	s.points.hit(c.method(), at)
}

// prepareKill takes the picture before a call, from a server that is armed for it if it is
// to die: one that died earlier, in its start or in this look, is armed again.
func (s *subject) prepareKill(ctx context.Context, c change, at passage, aimed bool) (before picture, err error) {
	for arming := 0; ; arming++ {
		if aimed && arming < armingsMax {
			if err := s.arm(ctx, c.method(), at); err != nil {
				return nil, err
			}
		}
		before, err = take(ctx, s.server.snapshotter(), c.names())
		died, unexpected := s.died(err)
		if unexpected != nil {
			return nil, unexpected
		}
		if died {
			if err := s.restart(ctx); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil || !aimed || s.armed != "" || arming >= armingsMax {
			return before, err
		}
	}
}

// resolve finds out by looking whether a call took effect whose answer was lost, and issues it
// again if not. A server may complete what was in flight after it began to serve, so the look
// that decides is repeated when the call that is issued again fails: its error alone never
// counts as success.
func (s *subject) resolve(ctx context.Context, c change, before picture) error {
	sn := s.server.snapshotter()
	effect, after, err := s.settle(ctx, c, before)
	if err != nil {
		return err
	}
	if effect {
		return c.adopt(ctx, sn, after)
	}
	refused := c.issue(ctx, sn)
	if refused == nil || connectionLost(refused) {
		return refused
	}
	effect, after, err = s.settle(ctx, c, before)
	if err == nil && effect {
		return c.adopt(ctx, sn, after)
	}
	return refused
}

// settle looks until it sees either the state before the call or the one after it. Between two
// Stats of one look, work in flight may be completed; what stays neither is half done.
func (s *subject) settle(ctx context.Context, c change, before picture) (bool, picture, error) {
	end := time.Now().Add(settleTime)
	for {
		after, err := take(ctx, s.server.snapshotter(), c.names())
		if err != nil {
			return false, nil, err
		}
		effect, err := c.tookEffect(before, after)
		if err == nil {
			return effect, after, nil
		}
		if time.Now().After(end) {
			return false, nil, fmt.Errorf("half done: %w", err)
		}
		time.Sleep(settlePause)
	}
}

// arm restarts the server so that it kills itself at one of the points that this kind of
// call passes. What a start itself passes is counted in, so nothing may be at work that goes
// on with the start: only what Cleanup is to free is left for it.
func (s *subject) arm(ctx context.Context, method string, at passage) error {
	if method != "Cleanup" {
		err := s.readAgain(ctx, func(sn snapshots.Snapshotter) error {
			return (&cleanup{}).issue(ctx, sn)
		})
		if err != nil {
			return fmt.Errorf("letting work end: %w", err)
		}
	}
	for range 2 {
		assumed := s.server.passagesOf(at.point)
		s.server.kill()
		s.armed = at.point
		err := s.server.start(ctx, fmt.Sprintf("%s:%d", at.point, assumed+at.count))
		if errors.Is(err, errDied) && s.server.killedItself() {
			s.kills++
			return s.restart(ctx)
		}
		if err != nil {
			return fmt.Errorf("starting with a crash at %s: %w", at.point, err)
		}
		if s.server.passagesOf(at.point) == assumed {
			return nil
		}
	}
	return nil
}

func (s *subject) Stat(ctx context.Context, key string) (info snapshots.Info, err error) {
	err = s.read(ctx, func(sn snapshots.Snapshotter) error {
		info, err = sn.Stat(ctx, key)
		return err
	})
	return info, err
}

func (s *subject) Usage(ctx context.Context, key string) (usage snapshots.Usage, err error) {
	err = s.read(ctx, func(sn snapshots.Snapshotter) error {
		usage, err = sn.Usage(ctx, key)
		return err
	})
	return usage, err
}

func (s *subject) Mounts(ctx context.Context, key string) (mounts []mount.Mount, err error) {
	err = s.read(ctx, func(sn snapshots.Snapshotter) error {
		mounts, err = sn.Mounts(ctx, key)
		return err
	})
	return mounts, err
}

// Walk lists first and calls back after, so that a kill in a call from within the callback
// does not break the listing itself. Without kills the callback is called while it lists.
func (s *subject) Walk(ctx context.Context, fn snapshots.WalkFunc, filters ...string) error {
	if s.settings.kill == killNone {
		return s.server.snapshotter().Walk(ctx, fn, filters...)
	}
	var infos []snapshots.Info
	err := s.read(ctx, func(sn snapshots.Snapshotter) error {
		infos = nil
		return sn.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
			infos = append(infos, info)
			return nil
		}, filters...)
	})
	if err != nil {
		return err
	}
	for _, info := range infos {
		if err := fn(ctx, info); err != nil {
			return err
		}
	}
	return nil
}

func (s *subject) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	c := &creation{kind: snapshots.KindActive, key: key, parent: parent, opts: opts}
	err := s.change(ctx, c)
	return c.mounts, err
}

func (s *subject) View(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	c := &creation{kind: snapshots.KindView, key: key, parent: parent, opts: opts}
	err := s.change(ctx, c)
	return c.mounts, err
}

func (s *subject) Commit(ctx context.Context, name, key string, opts ...snapshots.Opt) error {
	return s.change(ctx, &commit{name: name, key: key, opts: opts})
}

func (s *subject) Remove(ctx context.Context, key string) error {
	return s.change(ctx, &removal{key: key})
}

func (s *subject) Update(ctx context.Context, info snapshots.Info, paths ...string) (snapshots.Info, error) {
	c := &update{info: info, paths: paths}
	err := s.change(ctx, c)
	return c.result, err
}

func (s *subject) Cleanup(ctx context.Context) error {
	return s.change(ctx, &cleanup{})
}

// Close is not on the wire; the server outlives the suite's handle.
func (s *subject) Close() error { return nil }
