// Crash points: the boundaries that a server names in its trace. They are enumerated before
// the suite by a few calls of every kind, and then each case hits them in turn.
package conformance

import (
	"context"
	"fmt"
	"maps"
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

// crashPoints is what one kind of call passes, and what of it kills hit, over all cases.
type crashPoints struct {
	byMethod map[string][]passage

	mutex sync.Mutex
	hits  map[string]map[passage]int
}

// turns is the order in which one case takes the points. It depends on the seed and the case
// only, so that a run can be repeated although cases run side by side.
type turns map[string]int

func (p *crashPoints) turnsOf(random *rand.Rand) turns {
	result := turns{}
	for _, method := range slices.Sorted(maps.Keys(p.byMethod)) {
		result[method] = random.IntN(len(p.byMethod[method]))
	}
	return result
}

// quietTime without a new line in the trace ends the work that a call started.
const quietTime = 150 * time.Millisecond

// enumerate learns which points each kind of call passes.
func enumerate(ctx context.Context, s settings, deferred bool) (*crashPoints, error) {
	root, err := os.MkdirTemp("", "conformance-points-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(root)
	server, err := newServer(s, root, deferred)
	if err != nil {
		return nil, err
	}
	defer server.discard()
	if err := server.start(ctx, ""); err != nil {
		return nil, err
	}
	defer server.stop()
	parent := ""
	if s.blocks != blockNone {
		parent = emptyLayerName
		if err := makeEmptyLayer(ctx, server.snapshotter()); err != nil {
			return nil, err
		}
	}
	points := &crashPoints{byMethod: map[string][]passage{}, hits: map[string]map[passage]int{}}
	for _, c := range sampleCalls(parent) {
		before := len(server.settledTrace())
		if err := c.issue(ctx, server.snapshotter()); err != nil {
			return nil, fmt.Errorf("enumerating crash points: %s: %w", c.method(), err)
		}
		points.learn(c.method(), server.settledTrace()[before:])
	}
	if len(points.byMethod) == 0 {
		return nil, fmt.Errorf("the server named no crash point in the file VARVE_CRASH_TRACE")
	}
	return points, nil
}

func sampleCalls(parent string) []change {
	label := snapshots.WithLabels(map[string]string{"l": "v"})
	return []change{
		&creation{kind: snapshots.KindActive, key: "a", parent: parent, opts: []snapshots.Opt{label}},
		&commit{name: "c", key: "a", opts: []snapshots.Opt{label}},
		&creation{kind: snapshots.KindActive, key: "child", parent: "c"},
		&creation{kind: snapshots.KindView, key: "view", parent: "c"},
		&update{info: snapshots.Info{Name: "child", Labels: map[string]string{"l": "w"}}},
		&removal{key: "view"},
		// So that a Cleanup of one directory passes whatever is enumerated here.
		&cleanup{},
		&removal{key: "child"},
		&removal{key: "c"},
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

// next takes the points of a kind of call in turn.
func (p *crashPoints) next(method string, turn turns) (passage, bool) {
	passages := p.byMethod[method]
	if len(passages) == 0 {
		return passage{}, false
	}
	one := passages[turn[method]%len(passages)]
	turn[method]++
	return one, true
}

func (p *crashPoints) hit(method string, at passage) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.hits[method] == nil {
		p.hits[method] = map[passage]int{}
	}
	p.hits[method][at]++
}

// coverage names the enumerated points of each kind of call, and those that no kill hit.
func (p *crashPoints) coverage() (all, missed []string) {
	for method, passages := range p.byMethod {
		for _, one := range passages {
			name := fmt.Sprintf("%s at %s:%d", method, one.point, one.count)
			all = append(all, name)
			if p.hits[method][one] == 0 {
				missed = append(missed, name)
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
