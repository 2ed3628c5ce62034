// Crash points: the boundaries that a server names in its trace. They are enumerated before
// the suite by a few calls of every kind, and then hit in turn.
package conformance

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
)

// passage is the n-th time that one call passes a point.
type passage struct {
	point string
	count int
}

type crashPoints struct {
	mutex    sync.Mutex
	byMethod map[string][]passage
	turn     map[string]int
	hits     map[string]int
}

// quietTime without a new line in the trace ends the work that a call started.
const quietTime = 150 * time.Millisecond

// enumerate learns which points each kind of call passes.
func enumerate(ctx context.Context, s settings, random *rand.Rand) (*crashPoints, error) {
	root, err := os.MkdirTemp("", "conformance-points-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(root)
	server, err := newServer(s.command, root)
	if err != nil {
		return nil, err
	}
	defer server.discard()
	if err := server.start(ctx, ""); err != nil {
		return nil, err
	}
	defer server.stop()
	points := &crashPoints{byMethod: map[string][]passage{}, turn: map[string]int{}, hits: map[string]int{}}
	for _, c := range sampleCalls() {
		before := len(server.settledTrace())
		if err := c.issue(ctx, server.snapshotter()); err != nil {
			return nil, fmt.Errorf("enumerating crash points: %s: %w", c.method(), err)
		}
		points.learn(c.method(), server.settledTrace()[before:])
	}
	if len(points.byMethod) == 0 {
		return nil, fmt.Errorf("the server named no crash point in the file VARVE_CRASH_TRACE")
	}
	for method, passages := range points.byMethod {
		points.turn[method] = random.IntN(len(passages))
	}
	return points, nil
}

func sampleCalls() []change {
	label := snapshots.WithLabels(map[string]string{"l": "v"})
	return []change{
		&creation{kind: snapshots.KindActive, key: "a", opts: []snapshots.Opt{label}},
		&commit{name: "c", key: "a", opts: []snapshots.Opt{label}},
		&creation{kind: snapshots.KindActive, key: "child", parent: "c"},
		&creation{kind: snapshots.KindView, key: "view", parent: "c"},
		&update{info: snapshots.Info{Name: "child", Labels: map[string]string{"l": "w"}}},
		&removal{key: "view"},
		&removal{key: "child"},
		&removal{key: "c"},
		&cleanup{},
	}
}

func (p *crashPoints) learn(method string, trace []string) {
	counts := map[string]int{}
	for _, point := range trace {
		counts[point]++
		one := passage{point, counts[point]}
		if !slices.Contains(p.byMethod[method], one) {
			p.byMethod[method] = append(p.byMethod[method], one)
		}
	}
}

// next takes the points of a kind of call in turn, over all cases.
func (p *crashPoints) next(method string) (string, int, bool) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	passages := p.byMethod[method]
	if len(passages) == 0 {
		return "", 0, false
	}
	one := passages[p.turn[method]%len(passages)]
	p.turn[method]++
	return one.point, one.count, true
}

func (p *crashPoints) hit(point string) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.hits[point]++
}

// coverage names the enumerated points and those of them that no kill hit.
func (p *crashPoints) coverage() (all, missed []string) {
	for _, passages := range p.byMethod {
		for _, one := range passages {
			if slices.Contains(all, one.point) {
				continue
			}
			all = append(all, one.point)
			if p.hits[one.point] == 0 {
				missed = append(missed, one.point)
			}
		}
	}
	slices.Sort(all)
	slices.Sort(missed)
	return all, missed
}

func (s *server) trace() []string {
	text, err := os.ReadFile(s.tracePath())
	if err != nil {
		return nil
	}
	return strings.Fields(string(text))
}

// settledTrace waits until background work, too, has passed its points.
func (s *server) settledTrace() []string {
	trace := s.trace()
	for {
		time.Sleep(quietTime)
		next := s.trace()
		if len(next) == len(trace) {
			return next
		}
		trace = next
	}
}

func (s *server) passagesOf(point string) int {
	count := 0
	for _, passed := range s.startTrace {
		if passed == point {
			count++
		}
	}
	return count
}
