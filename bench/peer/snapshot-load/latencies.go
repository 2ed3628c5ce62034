// Latencies of calls, kept one by one so that quantiles are exact.
package main

import (
	"slices"
	"time"
)

// latencies holds durations by call name; one for each client, merged at the end, so that
// measuring needs no lock.
type latencies map[string][]time.Duration

// summary is what is printed for one call.
type summary struct {
	Count int     `json:"count"`
	P50Ms float64 `json:"p50Ms"`
	P95Ms float64 `json:"p95Ms"`
	P99Ms float64 `json:"p99Ms"`
	MaxMs float64 `json:"maxMs"`
}

// timed runs one call and keeps its duration if it succeeds.
func (l latencies) timed(name string, call func() error) error {
	start := time.Now()
	if err := call(); err != nil {
		return err
	}
	l[name] = append(l[name], time.Since(start))
	return nil
}

func summarize(all []latencies) map[string]summary {
	merged := latencies{}
	for _, one := range all {
		for name, durations := range one {
			merged[name] = append(merged[name], durations...)
		}
	}
	result := map[string]summary{}
	for name, durations := range merged {
		slices.Sort(durations)
		result[name] = summary{
			Count: len(durations),
			P50Ms: quantileMs(durations, 0.50),
			P95Ms: quantileMs(durations, 0.95),
			P99Ms: quantileMs(durations, 0.99),
			MaxMs: quantileMs(durations, 1),
		}
	}
	return result
}

// quantileMs takes the nearest rank; sorted must not be empty.
func quantileMs(sorted []time.Duration, quantile float64) float64 {
	rank := int(quantile*float64(len(sorted))+0.999999) - 1
	rank = min(max(rank, 0), len(sorted)-1)
	return round(float64(sorted[rank]) / float64(time.Millisecond))
}

func round(value float64) float64 {
	return float64(int64(value*1000+0.5)) / 1000
}
