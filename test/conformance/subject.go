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
	random   *rand.Rand

	mutex   sync.Mutex
	calls   int
	sampled int
	kills   int
	armed   string
}

const (
	// dyingTime is how long after a broken connection the process may take to be gone.
	dyingTime = 3 * time.Second
	// settleTime is how long work in flight may take to be completed after a start.
	settleTime  = 5 * time.Second
	settlePause = 20 * time.Millisecond
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
	s.points.hit(s.armed)
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
	if s.wanted() {
		if err := s.arm(ctx, c.method()); err != nil {
			return err
		}
	}
	var before picture
	err := s.readAgain(ctx, func(sn snapshots.Snapshotter) (err error) {
		before, err = take(ctx, sn, c.names())
		return err
	})
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
		return issued
	}
	if err := s.restart(ctx); err != nil {
		return fmt.Errorf("after dying at %s in %s: %w", point, c.method(), err)
	}
	if err := s.resolve(ctx, c, before); err != nil {
		return fmt.Errorf("after dying at %s in %s: %w", point, c.method(), err)
	}
	return nil
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
// call passes. What a start itself passes is counted in; when that count was wrong the
// start is made once more with the right one.
func (s *subject) arm(ctx context.Context, method string) error {
	point, passage, ok := s.points.next(method)
	if !ok {
		return nil
	}
	for range 2 {
		assumed := s.server.passagesOf(point)
		s.server.kill()
		s.armed = point
		err := s.server.start(ctx, fmt.Sprintf("%s:%d", point, assumed+passage))
		if errors.Is(err, errDied) && s.server.killedItself() {
			s.kills++
			s.points.hit(point)
			return s.restart(ctx)
		}
		if err != nil {
			return fmt.Errorf("starting with a crash at %s: %w", point, err)
		}
		if s.server.passagesOf(point) == assumed {
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
// does not break the listing itself.
func (s *subject) Walk(ctx context.Context, fn snapshots.WalkFunc, filters ...string) error {
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
