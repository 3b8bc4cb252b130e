package sinks

import (
	"fmt"
	"io"

	"synupkeep/internal/item"
	"synupkeep/internal/printable"
)

// WriteUsageJSON writes it as one indented JSON object with a newline at its end.
func WriteUsageJSON(w io.Writer, u Usage) error {
	if err := printable.WriteJSON(w, u.normal()); err != nil {
		return fmt.Errorf("write the usage as JSON: %w", err)
	}
	return nil
}

// WriteUsage completes the report with it. See File.
func (r *Report) WriteUsage(u Usage) error {
	return r.File.Write(func(w io.Writer) error { return WriteUsageJSON(w, u) })
}

// normal returns a copy as it is written: its ending is normal, times are UTC, lists are not nil.
func (u Usage) normal() Usage {
	u.Schema, u.Command, u.Ending = usageSchema, "usage", u.Ending.normal()
	u.Curves = append([]item.AgeCurve{}, u.Curves...)
	for i, c := range u.Curves {
		u.Curves[i].Points = append([]item.AgePoint{}, c.Points...)
	}
	u.History, u.StateGroups, u.RoomMedia = u.History.normal(), u.StateGroups.normal(), u.RoomMedia.normal()
	u.LocalMedia, u.RemoteMedia, u.Previews = u.LocalMedia.normal(), u.RemoteMedia.normal(), u.Previews.normal()
	u.Tables, u.Leftovers = u.Tables.normal(), u.Leftovers.normal()
	return u
}

func (h *UsageHistory) normal() *UsageHistory {
	if h == nil {
		return nil
	}
	c := *h
	c.Samples, c.ByRoom = append([]item.Extent{}, h.Samples...), append([]RoomUsage{}, h.ByRoom...)
	return &c
}

func (s *UsageStateGroups) normal() *UsageStateGroups {
	if s == nil {
		return nil
	}
	c := *s
	c.Samples, c.ByRoom = append([]item.Extent{}, s.Samples...), append([]RoomState{}, s.ByRoom...)
	return &c
}

func (m *UsageRoomMedia) normal() *UsageRoomMedia {
	if m == nil {
		return nil
	}
	c := *m
	c.Samples, c.ByRoom = append([]item.Extent{}, m.Samples...), append([]RoomMedia{}, m.ByRoom...)
	return &c
}

func (m *UsageMedia) normal() *UsageMedia {
	if m == nil {
		return nil
	}
	c := *m
	c.ByUser, c.ByOrigin, c.ByType = append([]Share{}, m.ByUser...), append([]Share{}, m.ByOrigin...), append([]Share{}, m.ByType...)
	return &c
}

func (t *UsageTables) normal() *UsageTables {
	if t == nil {
		return nil
	}
	c := *t
	c.Largest = append([]TableUsage{}, t.Largest...)
	for i, table := range c.Largest {
		c.Largest[i].LastVacuum, c.Largest[i].LastAnalyze = utc(table.LastVacuum), utc(table.LastAnalyze)
	}
	return &c
}

func (l *UsageLeftovers) normal() *UsageLeftovers {
	if l == nil {
		return nil
	}
	c := *l
	c.OldestPending = utc(l.OldestPending)
	c.Tasks = append([]TaskUsage{}, l.Tasks...)
	for i, task := range c.Tasks {
		c.Tasks[i].Oldest = utc(task.Oldest)
	}
	return &c
}
