// The calls that change something: how each is made, and how to tell by looking whether one
// whose answer was lost took effect.
package conformance

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
)

// change is one such call. tookEffect compares the pictures taken before and after; what is
// neither the one nor the other state is an error.
type change interface {
	method() string
	names() []string
	issue(ctx context.Context, sn snapshots.Snapshotter) error
	tookEffect(before, after picture) (bool, error)
	adopt(ctx context.Context, sn snapshots.Snapshotter, after picture) error
}

// picture holds what Stat says of each name; one that is not found is not in it.
type picture map[string]snapshots.Info

func take(ctx context.Context, sn snapshots.Snapshotter, names []string) (picture, error) {
	result := picture{}
	for _, name := range names {
		info, err := sn.Stat(ctx, name)
		if errdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("stat of %q: %w", name, err)
		}
		result[name] = info
	}
	return result, nil
}

func same(a, b snapshots.Info) bool {
	return a.Kind == b.Kind && a.Name == b.Name && a.Parent == b.Parent &&
		a.Created.Equal(b.Created) && a.Updated.Equal(b.Updated) && maps.Equal(a.Labels, b.Labels)
}

func unchanged(before, after picture) bool {
	return maps.EqualFunc(before, after, same)
}

func labelsOf(opts []snapshots.Opt) (snapshots.Info, error) {
	var info snapshots.Info
	for _, opt := range opts {
		if err := opt(&info); err != nil {
			return info, err
		}
	}
	return info, nil
}

// stored is what a server keeps of labels: those with an empty value are not stored.
func stored(labels map[string]string) map[string]string {
	result := maps.Clone(labels)
	maps.DeleteFunc(result, func(_, value string) bool { return value == "" })
	return result
}

// sameLabels takes none and an empty map for equal.
func sameLabels(a, b map[string]string) bool {
	return len(a) == 0 && len(b) == 0 || maps.Equal(a, b)
}

func differs(what string, got, want any) error {
	return fmt.Errorf("%s is %v, asked for was %v", what, got, want)
}

type creation struct {
	kind        snapshots.Kind
	key, parent string
	opts        []snapshots.Opt
	mounts      []mount.Mount
}

func (c *creation) method() string {
	if c.kind == snapshots.KindView {
		return "View"
	}
	return "Prepare"
}

func (c *creation) names() []string { return []string{c.key} }

func (c *creation) issue(ctx context.Context, sn snapshots.Snapshotter) (err error) {
	if c.kind == snapshots.KindView {
		c.mounts, err = sn.View(ctx, c.key, c.parent, c.opts...)
	} else {
		c.mounts, err = sn.Prepare(ctx, c.key, c.parent, c.opts...)
	}
	return err
}

func (c *creation) tookEffect(before, after picture) (bool, error) {
	if unchanged(before, after) {
		return false, nil
	}
	if _, existed := before[c.key]; existed {
		return false, fmt.Errorf("%q was there before, and is changed or gone", c.key)
	}
	asked, err := labelsOf(c.opts)
	if err != nil {
		return false, err
	}
	got := after[c.key]
	switch {
	case got.Kind != c.kind:
		return false, differs("kind", got.Kind, c.kind)
	case got.Parent != c.parent:
		return false, differs("parent", got.Parent, c.parent)
	case !sameLabels(got.Labels, stored(asked.Labels)):
		return false, differs("labels", got.Labels, asked.Labels)
	}
	return true, nil
}

func (c *creation) adopt(ctx context.Context, sn snapshots.Snapshotter, _ picture) (err error) {
	c.mounts, err = sn.Mounts(ctx, c.key)
	return err
}

type commit struct {
	name, key string
	opts      []snapshots.Opt
}

func (c *commit) method() string  { return "Commit" }
func (c *commit) names() []string { return []string{c.name, c.key} }

func (c *commit) issue(ctx context.Context, sn snapshots.Snapshotter) error {
	return sn.Commit(ctx, c.name, c.key, c.opts...)
}

func (c *commit) tookEffect(before, after picture) (bool, error) {
	if unchanged(before, after) {
		return false, nil
	}
	active, existed := before[c.key]
	if !existed {
		return false, fmt.Errorf("%q was not there, yet something changed", c.key)
	}
	if _, taken := before[c.name]; taken {
		return false, fmt.Errorf("%q was taken, yet something changed", c.name)
	}
	asked, err := labelsOf(c.opts)
	if err != nil {
		return false, err
	}
	got, there := after[c.name]
	_, keyLeft := after[c.key]
	switch {
	case !there || keyLeft:
		return false, fmt.Errorf("name there: %t, key left: %t", there, keyLeft)
	case got.Kind != snapshots.KindCommitted:
		return false, differs("kind", got.Kind, snapshots.KindCommitted)
	case got.Parent != active.Parent && got.Parent != asked.Parent:
		return false, differs("parent", got.Parent, active.Parent)
	case !sameLabels(got.Labels, stored(asked.Labels)):
		return false, differs("labels", got.Labels, asked.Labels)
	}
	return true, nil
}

func (c *commit) adopt(context.Context, snapshots.Snapshotter, picture) error { return nil }

type removal struct{ key string }

func (r *removal) method() string  { return "Remove" }
func (r *removal) names() []string { return []string{r.key} }

func (r *removal) issue(ctx context.Context, sn snapshots.Snapshotter) error {
	return sn.Remove(ctx, r.key)
}

func (r *removal) tookEffect(before, after picture) (bool, error) {
	if unchanged(before, after) {
		return false, nil
	}
	if _, left := after[r.key]; left {
		return false, fmt.Errorf("%q is changed, not removed", r.key)
	}
	return true, nil
}

func (r *removal) adopt(context.Context, snapshots.Snapshotter, picture) error { return nil }

type update struct {
	info   snapshots.Info
	paths  []string
	result snapshots.Info
}

func (u *update) method() string  { return "Update" }
func (u *update) names() []string { return []string{u.info.Name} }

func (u *update) issue(ctx context.Context, sn snapshots.Snapshotter) (err error) {
	u.result, err = sn.Update(ctx, u.info, u.paths...)
	return err
}

// expected applies the field mask to labels as a server should.
func (u *update) expected(labels map[string]string) (map[string]string, bool) {
	if len(u.paths) == 0 {
		return stored(u.info.Labels), true
	}
	result := maps.Clone(labels)
	for _, path := range u.paths {
		if path == "labels" {
			result = maps.Clone(u.info.Labels)
			continue
		}
		key, ok := strings.CutPrefix(path, "labels.")
		if !ok {
			return nil, false
		}
		if result == nil {
			result = map[string]string{}
		}
		result[key] = u.info.Labels[key]
	}
	return stored(result), true
}

func (u *update) tookEffect(before, after picture) (bool, error) {
	if unchanged(before, after) {
		return false, nil
	}
	was, is := before[u.info.Name], after[u.info.Name]
	want, legal := u.expected(was.Labels)
	switch {
	case !legal:
		return false, fmt.Errorf("the mask %v is not legal, yet something changed", u.paths)
	case is.Kind != was.Kind || is.Parent != was.Parent || !is.Created.Equal(was.Created):
		return false, fmt.Errorf("what an update cannot change has changed: %+v, %+v", was, is)
	case !sameLabels(is.Labels, want):
		return false, differs("labels", is.Labels, want)
	}
	return true, nil
}

func (u *update) adopt(_ context.Context, _ snapshots.Snapshotter, after picture) error {
	u.result = after[u.info.Name]
	return nil
}

// cleanup is idempotent: it is always made again.
type cleanup struct{}

func (*cleanup) method() string  { return "Cleanup" }
func (*cleanup) names() []string { return nil }

func (*cleanup) issue(ctx context.Context, sn snapshots.Snapshotter) error {
	cleaner, ok := sn.(snapshots.Cleaner)
	if !ok {
		return fmt.Errorf("the proxy client has no Cleanup")
	}
	return cleaner.Cleanup(ctx)
}

func (*cleanup) tookEffect(picture, picture) (bool, error) { return false, nil }

func (*cleanup) adopt(context.Context, snapshots.Snapshotter, picture) error { return nil }
