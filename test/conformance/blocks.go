// The classes of snapshots on block devices: a daemon that attaches them beside each server, and an
// empty block layer below every chain. The suite begins each chain with nothing, which would be files
// alone; so it is given a snapshotter whose nothing is that layer.
package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
)

// blockClass is what is below the suite's chains, and how what is above it is written.
type blockClass string

const (
	blockNone blockClass = "none"
	// blockOverlay writes directories over the device of the empty layer.
	blockOverlay blockClass = "overlay"
	// blockAppend and blockSparse write devices of their own, in one of the two forms.
	blockAppend blockClass = "append"
	blockSparse blockClass = "sparse"
)

// writesDevices says that snapshots are devices of their own, where directories can be renamed.
func (b blockClass) writesDevices() bool { return b == blockAppend || b == blockSparse }

func (b blockClass) configuration(address, transport string) map[string]any {
	if b == blockNone {
		return nil
	}
	settings := map[string]any{"blockDaemonAddress": address, "autoRemoveDev": true, "lingerMs": 50}
	if transport != "" {
		settings["transport"] = transport
	}
	if b.writesDevices() {
		settings["rwMode"] = "dir"
		settings["writableLayerType"] = string(b)
	}
	return settings
}

var daemonStartTimeout = patient(10 * time.Second)

// startBlockDaemon starts the daemon of one server's devices and waits until it listens.
func startBlockDaemon(settings settings, address, logPath string) (*exec.Cmd, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	program, arguments := settings.daemon, []string{"--socket", address}
	if settings.transport == "tcmu" {
		arguments = append(arguments, "--tcmu")
	}
	daemon := exec.Command(program, arguments...)
	daemon.Stdout, daemon.Stderr = log, log
	if err := startProcess(daemon); err != nil {
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	for end := time.Now().Add(daemonStartTimeout); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(address); err == nil {
			return daemon, nil
		}
	}
	text, _ := os.ReadFile(logPath)
	return daemon, fmt.Errorf("%s does not listen: %s", program, text)
}

// stopBlockDaemon ends it; it closes what it still has open.
func stopBlockDaemon(daemon *exec.Cmd) {
	_ = daemon.Process.Signal(syscall.SIGTERM)
	_ = daemon.Wait()
}

// devicesLeft names what is still attached; the daemon's own client says it.
func devicesLeft(command, address string) (string, error) {
	out, err := exec.Command(command, "bd", "ls", "--json", "--socket", address).Output()
	if err != nil {
		return "", fmt.Errorf("asking for devices: %w", err)
	}
	var listed struct {
		Devices []struct {
			Device string `json:"device"`
		} `json:"devices"`
	}
	if err := json.Unmarshal(out, &listed); err != nil {
		return "", err
	}
	names := ""
	for _, one := range listed.Devices {
		names += " " + one.Device
	}
	return names, nil
}

const (
	emptyLayerName = "conformance-empty-layer"
	layerFileLabel = "containerd.io/snapshot/overlaybd.localcommitpath"
	writableLabel  = "containerd.io/snapshot/overlaybd.writable"
	sizeLabel      = "containerd.io/snapshot/overlaybd/vsize"
)

// makeEmptyLayer commits a new device on which nothing was written.
func makeEmptyLayer(ctx context.Context, sn snapshots.Snapshotter) error {
	key := emptyLayerName + "-key"
	labels := snapshots.WithLabels(map[string]string{writableLabel: "dir", sizeLabel: "1"})
	if _, err := sn.Prepare(ctx, key, "", labels); err != nil {
		return fmt.Errorf("preparing the empty layer: %w", err)
	}
	if err := sn.Commit(ctx, emptyLayerName, key); err != nil {
		return fmt.Errorf("committing the empty layer: %w", err)
	}
	return nil
}

// onBlocks is a snapshotter whose nothing is the empty layer.
type onBlocks struct {
	snapshots.Snapshotter
}

func below(parent string) string {
	if parent == "" {
		return emptyLayerName
	}
	return parent
}

// shown is how the suite sees a snapshot: its parent, and without the label by which builders find
// the file of a block layer.
func shown(info snapshots.Info) snapshots.Info {
	if info.Parent == emptyLayerName {
		info.Parent = ""
	}
	if _, ok := info.Labels[layerFileLabel]; ok {
		info.Labels = maps.Clone(info.Labels)
		delete(info.Labels, layerFileLabel)
	}
	return info
}

func (b *onBlocks) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	return b.Snapshotter.Prepare(ctx, key, below(parent), opts...)
}

func (b *onBlocks) View(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	return b.Snapshotter.View(ctx, key, below(parent), opts...)
}

func (b *onBlocks) Stat(ctx context.Context, key string) (snapshots.Info, error) {
	info, err := b.Snapshotter.Stat(ctx, key)
	return shown(info), err
}

func (b *onBlocks) Update(ctx context.Context, info snapshots.Info, paths ...string) (snapshots.Info, error) {
	info, err := b.Snapshotter.Update(ctx, info, paths...)
	return shown(info), err
}

func (b *onBlocks) Walk(ctx context.Context, fn snapshots.WalkFunc, filters ...string) error {
	asked := make([]string, len(filters))
	for i, filter := range filters {
		asked[i] = strings.ReplaceAll(filter, `parent!=""`, fmt.Sprintf("parent!=%q", emptyLayerName))
	}
	return b.Snapshotter.Walk(ctx, func(ctx context.Context, info snapshots.Info) error {
		if info.Name == emptyLayerName {
			return nil
		}
		return fn(ctx, shown(info))
	}, asked...)
}

func (s *server) daemonAddress() string { return filepath.Join(s.scratch, "bd.sock") }
