// What is mounted below a directory.
package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/moby/sys/mountinfo"
)

// mountsBelow lists mountpoints below a directory, the newest first.
func mountsBelow(directory string) ([]string, error) {
	infos, err := mountinfo.GetMounts(mountinfo.PrefixFilter(directory))
	if err != nil {
		return nil, err
	}
	var points []string
	for _, info := range infos {
		points = append(points, info.Mountpoint)
	}
	slices.Reverse(points)
	return points, nil
}

// unmountBelow takes down what is mounted below a directory and says what it was.
func unmountBelow(directory string) ([]string, error) {
	points, err := mountsBelow(directory)
	for _, point := range points {
		if failed := syscall.Unmount(point, syscall.MNT_DETACH); failed != nil && err == nil {
			err = fmt.Errorf("unmounting %s: %w", point, failed)
		}
	}
	return points, err
}

// leftInSnapshots names what is left in the directory that holds the layers.
func leftInSnapshots(root string) (string, error) {
	entries, err := os.ReadDir(filepath.Join(root, "snapshots"))
	if err != nil && !os.IsNotExist(err) {
		return "", err
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return strings.Join(names, " "), nil
}
