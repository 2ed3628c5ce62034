// Package conformance runs containerd's own snapshotter suite against a snapshotter command,
// whole or with the server killed between or during calls.
//
// The environment says what is run:
//
//	VARVE_SERVE   path of the command; it is called as
//	              `COMMAND serve --root DIR --address SOCKET --config FILE`
//	VARVE_KILL    none (default), between or during
//	VARVE_BLOCKS  none (default), overlay, append or sparse: on which class of block snapshots
//	VARVE_BD      path of the daemon that attaches block devices
//	VARVE_TRANSPORT  how they reach the kernel; the command's own choice if it is not given
//	VARVE_LAB_PATIENCE  how many times as long as on a quiet machine things may take
//	VARVE_LONG    1: kill at every call; else at calls that the seed samples
//	VARVE_SEED    seed of the sample; printed, so that a run can be repeated
package conformance

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

type killMode string

const (
	killNone    killMode = "none"
	killBetween killMode = "between"
	killDuring  killMode = "during"
)

type settings struct {
	command   string
	kill      killMode
	blocks    blockClass
	daemon    string
	transport string
	long      bool
	seed      uint64
}

func settingsFromEnvironment() (settings, error) {
	s := settings{
		command:   os.Getenv("VARVE_SERVE"),
		kill:      killMode(os.Getenv("VARVE_KILL")),
		blocks:    blockClass(os.Getenv("VARVE_BLOCKS")),
		daemon:    os.Getenv("VARVE_BD"),
		transport: os.Getenv("VARVE_TRANSPORT"),
		long:      os.Getenv("VARVE_LONG") == "1",
		seed:      uint64(time.Now().UnixNano()) % 1_000_000_000,
	}
	if s.command == "" {
		return s, fmt.Errorf("VARVE_SERVE must name the command to test")
	}
	absolute, err := filepath.Abs(s.command)
	if err != nil {
		return s, err
	}
	s.command = absolute
	switch s.kill {
	case "":
		s.kill = killNone
	case killNone, killBetween, killDuring:
	default:
		return s, fmt.Errorf("VARVE_KILL is %q: none, between or during", s.kill)
	}
	switch s.blocks {
	case "":
		s.blocks = blockNone
	case blockNone:
	case blockOverlay, blockAppend, blockSparse:
		if s.daemon == "" {
			return s, fmt.Errorf("VARVE_BD must name the daemon that attaches block devices")
		}
	default:
		return s, fmt.Errorf("VARVE_BLOCKS is %q: none, overlay, append or sparse", s.blocks)
	}
	if given := os.Getenv("VARVE_SEED"); given != "" {
		if s.seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			return s, fmt.Errorf("VARVE_SEED: %w", err)
		}
	}
	return s, nil
}

// patient makes a limit longer where all is slow.
func patient(limit time.Duration) time.Duration {
	if times, err := strconv.Atoi(os.Getenv("VARVE_LAB_PATIENCE")); err == nil {
		return limit * time.Duration(times)
	}
	return limit
}

// random depends on the seed and the case only, so cases that run side by side do not
// disturb each other's sample.
func (s settings) random(name string) *rand.Rand {
	hash := fnv.New64a()
	hash.Write([]byte(name))
	return rand.New(rand.NewPCG(s.seed, hash.Sum64()))
}
