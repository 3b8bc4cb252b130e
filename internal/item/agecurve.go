package item

import "time"

// AgeCurve says how much of what a flow is about is older than each of several ages: what a cut-off there would let go at
// most. What is protected, or has no safe cut, is not taken off; only a plan can say that.
type AgeCurve struct {
	Flow Flow `json:"flow"`
	// ByTime is the time that the age is counted from: received, uploaded, last access or fetched.
	ByTime string `json:"by_time"`
	// Items and Bytes are all there is, of any age.
	Items int64 `json:"items"`
	Bytes int64 `json:"bytes"`
	// Points are in the order of their ages, the youngest first.
	Points []AgePoint `json:"points"`
	// Sample is what the numbers were estimated from, nil where every row was counted.
	Sample *Extent `json:"sample,omitempty"`
}

// AgePoint is how much is older than an age.
type AgePoint struct {
	Age    string    `json:"age"` // such as 30d
	CutOff time.Time `json:"cut_off"`
	Items  int64     `json:"items"`
	Bytes  int64     `json:"bytes"`
	// Margin is by how many items the number may be wrong, in 19 of 20 estimates; 0 where they were counted.
	Margin int64 `json:"items_margin"`
}

// Extent says how much of a table was read.
type Extent struct {
	Table      string `json:"table"`
	Blocks     int64  `json:"blocks"`      // of the table
	BlocksRead int64  `json:"blocks_read"` // about
	Rows       int64  `json:"rows_read"`
}

// CurveAge is an age by the name that --delta takes for it.
type CurveAge struct {
	Name string
	Age  time.Duration
}

// CurveAges are those of every age curve, the youngest first.
func CurveAges() []CurveAge {
	const day = 24 * time.Hour
	return []CurveAge{
		{"1d", day},
		{"2d", 2 * day},
		{"3d", 3 * day},
		{"1w", 7 * day},
		{"2w", 14 * day},
		{"30d", 30 * day},
		{"60d", 60 * day},
		{"90d", 90 * day},
		{"180d", 180 * day},
		{"1y", 365 * day},
		{"2y", 2 * 365 * day},
		{"3y", 3 * 365 * day},
		{"5y", 5 * 365 * day},
	}
}
