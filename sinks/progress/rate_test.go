package progress

import (
	"testing"
	"testing/synctest"
	"time"

	"synupkeep/internal/item"
)

// steps lets that many items end, evenly, and looks every second.
func steps(b *Board, f *Flow, items int, over time.Duration) (last flowState) {
	for range items {
		time.Sleep(over / time.Duration(items))
		f.Ended(item.Outcome{Flow: f.flow, Status: item.Done})
		last = b.state().flows[0]
	}
	return last
}

func begun(f item.Flow) (*Board, *Flow) {
	b := New()
	b.begin("run", []item.Flow{f})
	flow := b.Flow(f)
	flow.Begin("")
	return b, flow
}

func TestTheRateIsThatOfTheLastMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, f := begun(item.RemoteMedia)
		f.SetTotal(2000)
		if s := steps(b, f, 2, 20*time.Second); s.rate != 0 || s.left >= 0 {
			t.Errorf("of two items: %+v", s)
		}
		s := steps(b, f, 598, 600*time.Second)
		if s.done != 600 || s.total != 2000 || s.rate < 0.98 || s.rate > 1.02 || s.left.Round(10*time.Second) != 1400*time.Second || s.atLeast {
			t.Errorf("at one a second: %+v", s)
		}
		s = steps(b, f, 700, 70*time.Second)
		if s.rate < 9.5 || s.rate > 10.5 || s.left.Round(5*time.Second) != 70*time.Second {
			t.Errorf("at ten a second: %+v", s)
		}
		time.Sleep(patienceWith(s.rate))
		if s := b.state().flows[0]; s.left < 0 {
			t.Errorf("a short pause: %+v", s)
		}
		time.Sleep(time.Second)
		s = b.state().flows[0]
		if s.left >= 0 || s.pace() != "0/min" || s.remaining() != "idle 31s" {
			t.Errorf("a long pause: %+v %q %q", s, s.pace(), s.remaining())
		}
	})
}

func TestSlowItemsHaveARateToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, f := begun(item.History)
		f.SetTotal(20)
		s := steps(b, f, 5, 10*time.Minute) // one in two minutes
		if s.pace() != "30.0/h" || s.remaining() != "30m left" {
			t.Errorf("%q %q %+v", s.pace(), s.remaining(), s)
		}
	})
}

// TestWithoutATotalNothingIsSaidOfTheRest: nor with one that turns out to be wrong.
func TestWithoutATotalNothingIsSaidOfTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, f := begun(item.Previews)
		if s := steps(b, f, 10, 10*time.Second); s.total >= 0 || s.left >= 0 || s.rate == 0 || s.remaining() != "" {
			t.Errorf("%+v", s)
		}
		f.SetTotal(12)
		if s := steps(b, f, 2, 2*time.Second); s.total != 12 || s.left != 0 {
			t.Errorf("%+v", s)
		}
		if s := steps(b, f, 1, time.Second); s.total >= 0 || s.left >= 0 {
			t.Errorf("13 of 12: %+v", s)
		}
	})
}

// TestLargeRoomsComeLast: what the small ones took says too little of the rest.
func TestLargeRoomsComeLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, f := begun(item.History)
		sizes := make([]int64, 200)
		for i := range 100 {
			sizes[100+i] = 950
		}
		f.SetSizes(sizes, 1000)
		s := steps(b, f, 100, 100*time.Second)
		// 100 rooms of 50 took 100 seconds, then come 100 of 50 + 950.
		if s.total != 200 || s.left.Round(time.Minute) != (2000*time.Second).Round(time.Minute) || s.atLeast {
			t.Errorf("%+v", s)
		}
		sizes[199] = 1_000_000
		f.SetSizes(sizes, 1000)
		if s = b.state().flows[0]; !s.atLeast || s.remaining() != "over 33m left" {
			t.Errorf("%q %+v", s.remaining(), s)
		}
	})
}

func TestRoomsThatRestAreNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New()
		b.begin("run", []item.Flow{item.History})
		f := b.Flow(item.History)
		f.Begin("looking for rooms")
		for range 1000 {
			f.Resting()
			f.Ended(item.Outcome{Flow: item.History, Status: item.Kept, Reason: item.NothingOld})
		}
		time.Sleep(time.Minute)
		f.SetTotal(10)
		f.At("")
		s := steps(b, f, 5, 50*time.Second)
		if s.done != 5 || s.looked != 1005 || s.remaining() != "50s left" || s.ended[1] != 1000 {
			t.Errorf("%q %+v", s.remaining(), s)
		}
		b.Forget()
		if s := b.state().flows[0]; s.begun || s.looked != 0 {
			t.Errorf("after a plan: %+v", s)
		}
	})
}

func TestTheMemoryOfAMeterIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, f := begun(item.History)
		for range 10_000 {
			time.Sleep(time.Minute)
			b.state()
		}
		if n := len(f.meter.samples); n != remembered {
			t.Errorf("%d samples", n)
		}
		if n := len(newSizes(make([]int64, 1_000_000), 1000).of); n != 1001 {
			t.Errorf("sizes: %d numbers", n)
		}
	})
}
