package sinks

import (
	"time"

	"synupkeep/internal/item"
)

// usageSchema is that of docs/usage.schema.json.
const usageSchema = 1

// Usage says what uses the space of a homeserver, and for several cut-offs how much would go. The package comment documents
// its JSON. A part that could not be read is nil, and Errors says why.
type Usage struct {
	// Schema is the version of this JSON: it changes when the meaning of a key does, and not when one is added.
	Schema     int    `json:"schema"`
	Version    string `json:"version"`
	Command    string `json:"command"` // usage
	ServerName string `json:"server_name"`
	Ending

	Database *UsageDatabase `json:"database,omitempty"`
	// Curves are in the order of item.Flows; that of a part that could not be read is not there.
	Curves      []item.AgeCurve   `json:"age_curves"`
	History     *UsageHistory     `json:"history,omitempty"`
	StateGroups *UsageStateGroups `json:"state_groups,omitempty"`
	RoomMedia   *UsageRoomMedia   `json:"room_media,omitempty"`
	LocalMedia  *UsageMedia       `json:"local_media,omitempty"`
	RemoteMedia *UsageMedia       `json:"remote_media,omitempty"`
	Previews    *UsageMedia       `json:"previews,omitempty"`
	URLCache    *UsageURLCache    `json:"url_cache,omitempty"`
	Tables      *UsageTables      `json:"tables,omitempty"`
	Leftovers   *UsageLeftovers   `json:"leftovers,omitempty"`
}

// UsageDatabase is the database as a whole.
type UsageDatabase struct {
	Name     string `json:"name"`
	Bytes    int64  `json:"bytes"`
	Postgres string `json:"postgres"` // the version of PostgreSQL
	Schema   int    `json:"schema"`   // of Synapse
	Standby  bool   `json:"standby"`
}

// Counted is a number that may be an estimate.
type Counted struct {
	Number int64 `json:"number"`
	// Margin is by how much it may be wrong, in 19 of 20 estimates; 0 where it was counted.
	Margin int64 `json:"margin"`
}

// UsageHistory is what the events take.
type UsageHistory struct {
	// Samples are what was read of each table, none where all of it was.
	Samples []item.Extent `json:"samples"`
	// Messages are what a purge can delete, State events stay; both are among the Events.
	Events   Counted `json:"events"`
	Messages Counted `json:"messages"`
	State    Counted `json:"state_events"`
	// JSONBytes is what the JSON of the events takes in event_json, compressed as PostgreSQL has it, without indexes.
	JSONBytes Counted     `json:"json_bytes"`
	ByRoom    []RoomUsage `json:"by_room"`
}

// RoomName is what people know a room by. Name and alias are what somebody made up.
type RoomName struct {
	RoomID    string `json:"room_id"`
	Name      string `json:"name"`
	Alias     string `json:"alias"`
	Members   int64  `json:"members"`
	Encrypted bool   `json:"encrypted"`
}

// RoomUsage is what the history of a room takes.
type RoomUsage struct {
	RoomName
	Events    Counted `json:"events"`
	Messages  Counted `json:"messages"`
	State     Counted `json:"state_events"`
	JSONBytes Counted `json:"json_bytes"`
}

// UsageStateGroups is what state_groups_state takes: the state of rooms at many points of their history.
type UsageStateGroups struct {
	Samples []item.Extent `json:"samples"`
	Rows    Counted       `json:"rows"`
	// Bytes is the table with its indexes.
	Bytes  int64       `json:"bytes"`
	ByRoom []RoomState `json:"by_room"`
}

// RoomState is what one room has of it.
type RoomState struct {
	RoomName
	Rows Counted `json:"rows"`
	// Bytes is the same part of the table and its indexes as of the rows.
	Bytes int64 `json:"bytes"`
}

// UsageRoomMedia is the media that messages name in the clear. Encrypted messages show nobody what they name.
type UsageRoomMedia struct {
	Samples []item.Extent `json:"samples"`
	ByRoom  []RoomMedia   `json:"by_room"`
}

// RoomMedia is the media that the messages of a room name, as far as this server has it.
type RoomMedia struct {
	RoomName
	LocalItems  int64 `json:"local_items"`
	LocalBytes  int64 `json:"local_bytes"`
	RemoteItems int64 `json:"remote_items"`
	RemoteBytes int64 `json:"remote_bytes"`
	// Margin is by how many bytes both together may be wrong, in 19 of 20 estimates.
	Margin int64 `json:"bytes_margin"`
}

// ItemsBytes is how much there is of something.
type ItemsBytes struct {
	Items int64 `json:"items"`
	Bytes int64 `json:"bytes"`
}

// UsageMedia is what the media of one flow takes, in bytes as the database has their lengths: without thumbnails.
type UsageMedia struct {
	ItemsBytes
	// Quarantined, Protected and Uploading media is not deleted; each counts once.
	Quarantined ItemsBytes `json:"quarantined"`
	Protected   ItemsBytes `json:"protected"`
	Uploading   ItemsBytes `json:"uploading"`
	// Users, Origins and Types are how many there are.
	Users    int64   `json:"users"`
	Origins  int64   `json:"origins"`
	Types    int64   `json:"types"`
	ByUser   []Share `json:"by_user"`
	ByOrigin []Share `json:"by_origin"`
	ByType   []Share `json:"by_type"`
}

// UsageURLCache is the answers of pages that were previewed, which Synapse itself forgets after a while.
type UsageURLCache struct {
	Answers int64 `json:"answers"`
	Expired int64 `json:"expired"`
}

// UsageTables are the largest tables.
type UsageTables struct {
	Largest  []TableUsage `json:"largest"`
	NotNamed int64        `json:"not_named"`
}

// TableUsage is what one table takes. Bytes = HeapBytes + IndexBytes + ToastBytes.
type TableUsage struct {
	Name       string `json:"name"`
	Bytes      int64  `json:"bytes"`
	HeapBytes  int64  `json:"heap_bytes"` // with its maps
	IndexBytes int64  `json:"index_bytes"`
	ToastBytes int64  `json:"toast_bytes"` // long values, with their index
	// LiveRows and DeadRows are what PostgreSQL believes; both are 0 where it was never told.
	LiveRows int64 `json:"live_rows"`
	DeadRows int64 `json:"dead_rows"`
	// LastVacuum and LastAnalyze are the later of the manual and the automatic one.
	LastVacuum  time.Time `json:"last_vacuum,omitzero"`
	LastAnalyze time.Time `json:"last_analyze,omitzero"`
}

// UsageLeftovers is what purges have not finished.
type UsageLeftovers struct {
	// PendingStateGroups wait in state_groups_pending_deletion, the oldest since OldestPending.
	PendingStateGroups int64     `json:"pending_state_groups"`
	OldestPending      time.Time `json:"oldest_pending,omitzero"`
	// Tasks are those of Synapse's scheduler that purge or delete, and have not ended well.
	Tasks []TaskUsage `json:"tasks"`
	// PartialRooms are still being joined; nothing can be purged in them.
	PartialRooms int64 `json:"partial_rooms"`
}

// TaskUsage counts tasks that are alike.
type TaskUsage struct {
	Action string    `json:"action"`
	Status string    `json:"status"`
	Number int64     `json:"number"`
	Oldest time.Time `json:"oldest,omitzero"`
}
