package faults_test

import (
	"testing"
	"time"
)

// toSynapse are faults between the run and Synapse. All that ends within the time of --retry-for costs nothing.
func toSynapse() []fault {
	return []fault{
		{name: "few bytes, late, one by one, on connections that close late", codes: []int{0}, inflict: slow(api, 30)},
		{name: "connections are reset for a second", long: true, at: inHistory, lasts: time.Second, codes: []int{0}, inflict: func(t *testing.T, x *through) func() {
			return x.api.toxic(t, "reset_peer", "downstream", `"timeout":0`)
		}},
		{name: "requests are cut in the middle for a second", long: true, at: inHistory, lasts: time.Second, codes: []int{0}, inflict: func(t *testing.T, x *through) func() {
			return x.api.toxic(t, "limit_data", "upstream", `"bytes":500`)
		}},
		{name: "answers are cut in the middle for a second", at: inHistory, lasts: time.Second, codes: []int{0}, inflict: func(t *testing.T, x *through) func() {
			return x.api.toxic(t, "limit_data", "downstream", `"bytes":150`)
		}},
		{name: "nothing answers for two seconds", at: inHistory, lasts: 2 * time.Second, codes: []int{0}, inflict: func(t *testing.T, x *through) func() {
			return x.api.toxic(t, "timeout", "downstream", `"timeout":0`)
		}},
		{name: "nothing arrives for two seconds", long: true, at: inHistory, lasts: 2 * time.Second, codes: []int{0}, inflict: func(t *testing.T, x *through) func() {
			return x.api.toxic(t, "timeout", "upstream", `"timeout":0`)
		}},
		{name: "away for a second", long: true, at: inHistory, lasts: time.Second, codes: []int{0}, inflict: func(t *testing.T, x *through) func() {
			return x.api.down(t)
		}},
		{name: "away for good", at: inHistory, codes: []int{1}, inflict: func(t *testing.T, x *through) func() {
			return x.api.down(t)
		}},
		{name: "away for good while media goes", long: true, at: inMedia, codes: []int{0}, inflict: func(t *testing.T, x *through) func() {
			return x.api.down(t) // it is not asked any more
		}},
	}
}

func api(x *through) *side { return &x.api }
func pg(x *through) *side  { return &x.pg }

// slow passes all, slowly: that many kB a second, in small pieces that come late.
func slow(to func(*through) *side, rate int) func(t *testing.T, x *through) func() {
	return func(t *testing.T, x *through) func() {
		d := to(x)
		d.both(t, "slow_close", `"delay":200`)
		d.both(t, "slicer", `"average_size":100,"size_variation":50,"delay":100`)
		d.both(t, "latency", `"latency":10,"jitter":10`)
		return d.both(t, "bandwidth", `"rate":`+itoa(rate))
	}
}

func TestFaultsBetweenTheRunAndSynapse(t *testing.T) {
	t.Parallel()
	tested(t, toSynapse())
}
