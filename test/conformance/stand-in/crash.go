package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

var (
	passing sync.Mutex
	passed  = map[string]int{}
)

// pass appends the point to the trace, and ends the process if this passage is the named one.
func pass(point string) {
	passing.Lock()
	defer passing.Unlock()
	passed[point]++
	if path := os.Getenv("VARVE_CRASH_TRACE"); path != "" {
		trace, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0600)
		if err != nil {
			panic(err)
		}
		fmt.Fprintln(trace, point)
		trace.Close()
	}
	if wantedPoint, count := crashAt(); wantedPoint == point && count == passed[point] {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// reachesNext says whether the next passage of the point is the one that ends the process.
func reachesNext(point string) bool {
	passing.Lock()
	defer passing.Unlock()
	wantedPoint, count := crashAt()
	return wantedPoint == point && count == passed[point]+1
}

func crashAt() (string, int) {
	value := os.Getenv("VARVE_CRASH_AT")
	colon := strings.LastIndex(value, ":")
	if colon < 0 {
		return "", 0
	}
	count, err := strconv.Atoi(value[colon+1:])
	if err != nil {
		panic("VARVE_CRASH_AT: " + err.Error())
	}
	return value[:colon], count
}
