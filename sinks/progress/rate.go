package progress

import (
	"math"
	"time"
)

const (
	// every is how often a meter remembers how far a flow was, and remembered how many of these it keeps: ten minutes.
	every      = 5 * time.Second
	remembered = 120
	// window is what a rate is taken from, if enough has ended within it; else it is taken from longer ago.
	window     = time.Minute
	enough     = 10
	earliest   = 3 * time.Second // nothing is said of a rate before
	fewest     = 3               // nor with fewer items
	roomEvents = 50              // asking for a purge and finding the cut costs as much as deleting that many events, about
)

type sample struct {
	at   time.Time
	done int64
}

// meter tells how fast a flow goes, by what it remembers of the last minutes.
type meter struct{ samples []sample }

func (m *meter) add(now time.Time, done int64) {
	if n := len(m.samples); n > 0 && now.Sub(m.samples[n-1].at) < every {
		return
	}
	if len(m.samples) == remembered {
		m.samples = append(m.samples[:0], m.samples[1:]...)
	}
	m.samples = append(m.samples, sample{now, done})
}

// from is what a rate is taken from: a minute ago, or longer when too little has ended since.
func (m *meter) from(now time.Time, done int64) (from sample, ok bool) {
	for i := len(m.samples) - 1; i >= 0; i-- {
		from = m.samples[i]
		if now.Sub(from.at) >= window && done-from.done >= enough {
			break
		}
	}
	return from, len(m.samples) > 0 && now.Sub(from.at) >= earliest && done-from.done >= fewest
}

// rate is in items a second, 0 while it is not known.
func (m *meter) rate(now time.Time, done int64) float64 {
	from, ok := m.from(now, done)
	if !ok {
		return 0
	}
	return float64(done-from.done) / now.Sub(from.at).Seconds()
}

// sizes tell how much work the first items of a flow are together, where they come in the order of their sizes. Their
// memory does not grow with the number of items. The zero value takes all items for alike.
type sizes struct {
	of   []int64 // how many items have this size
	most int
}

func newSizes(items []int64, most int64) sizes {
	s := sizes{of: make([]int64, most+1), most: int(most)}
	for _, size := range items {
		s.of[max(0, min(size, most))]++
	}
	return s
}

// work is what the first n items are together.
func (s sizes) work(n int64) (sum float64) {
	for size, many := range s.of {
		many = min(many, n)
		sum += float64(many) * float64(roomEvents+size)
		if n -= many; n == 0 {
			break
		}
	}
	return sum + float64(n)*roomEvents
}

// left is how long the rest takes at the rate of the last minutes; atLeast says that there are items among the rest of
// which only the least size is known.
func (s sizes) left(m meter, now time.Time, done, total int64) (left time.Duration, atLeast bool) {
	from, ok := m.from(now, done)
	if !ok {
		return -1, false
	}
	work := func(n int64) float64 { return float64(n) }
	if s.of != nil {
		work = s.work
		atLeast = s.of[s.most] > 0 && done < total
	}
	seconds := (work(total) - work(done)) / (work(done) - work(from.done)) * now.Sub(from.at).Seconds()
	if seconds > math.MaxInt64/float64(time.Second)/2 {
		return -1, false
	}
	return time.Duration(seconds * float64(time.Second)), atLeast
}
