package sinks

// Share is what one user, server or type has of what a flow did.
type Share struct {
	// Key is as the database has it, cut after 500 bytes: quote it before it reaches a terminal.
	Key   string `json:"key"`
	Items int64  `json:"items"`
	Bytes int64  `json:"bytes"`
}

// RoomShare is what one room has of the history that went.
type RoomShare struct {
	RoomID string `json:"room_id"`
	// Name and Alias are what somebody made up.
	Name      string `json:"name"`  // empty if it has none
	Alias     string `json:"alias"` // empty if it has none
	Members   int64  `json:"members"`
	Encrypted bool   `json:"encrypted"`
	// Events is how many events of the room are in the database at the end, 0 where they were not counted; Messages is how
	// many were deleted.
	Events   int64 `json:"events"`
	Messages int64 `json:"messages"`
}

// DayShare is what a flow did to what is of one day: that on which this server got it.
type DayShare struct {
	Day   string `json:"day"` // such as 2026-11-22, in UTC
	Items int64  `json:"items"`
	Bytes int64  `json:"bytes"`
}

// Shares say who has the most of what a flow did, the most first: history by room, media by the others. ByDay is whole
// and in the order of the days.
type Shares struct {
	ByRoom   []RoomShare `json:"by_room"`
	ByUser   []Share     `json:"by_user"`
	ByOrigin []Share     `json:"by_origin"`
	ByType   []Share     `json:"by_type"`
	ByDay    []DayShare  `json:"by_day"`
	// Uncertain is by how many bytes a share of users, origins or types may be more than it says. It is 0 unless there are
	// very many of them; no share is less than it says.
	Uncertain int64 `json:"shares_uncertain_bytes"`
}

// normal returns a copy without nil.
func (s Shares) normal() Shares {
	s.ByRoom = append([]RoomShare{}, s.ByRoom...)
	s.ByUser = append([]Share{}, s.ByUser...)
	s.ByOrigin = append([]Share{}, s.ByOrigin...)
	s.ByType = append([]Share{}, s.ByType...)
	s.ByDay = append([]DayShare{}, s.ByDay...)
	return s
}
