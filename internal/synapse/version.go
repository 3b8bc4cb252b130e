package synapse

import (
	"fmt"
	"regexp"
	"strconv"
)

// Version is a release of Synapse.
type Version struct{ Major, Minor int }

// Releases that matter to a purge.
func oldestSupported() Version { return Version{1, 98} }

// ParseVersion reads what server_version answers, such as "1.163.2" or "1.98.0rc1 (b=develop,1a2b3c)".
func ParseVersion(text string) (Version, error) {
	m := regexp.MustCompile(`^(\d{1,4})\.(\d{1,4})\b`).FindStringSubmatch(text)
	if m == nil {
		return Version{}, fmt.Errorf("server version %.40q: not understood", text)
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	return Version{major, minor}, nil
}

// Before says whether v is older than o.
func (v Version) Before(o Version) bool {
	return v.Major < o.Major || v.Major == o.Major && v.Minor < o.Minor
}

func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// CheckVersion says whether this release can be worked on at all. Before 1.98 purges were not tasks in the database, and
// the statement timeout ended the large ones.
func CheckVersion(v Version) error {
	if v.Before(oldestSupported()) {
		return fmt.Errorf("Synapse %s is too old: %s is the oldest that a purge is safe on", v, oldestSupported()) //nolint:staticcheck // a name
	}
	return nil
}

// CheckHistory says whether history can be purged on this release with this schema.
//
// Releases 1.115 to 1.127 came without an index on sliding_sync_membership_snapshots(membership_event_id): each event
// that a purge deletes then costs a scan of the whole table (synapse PR #18074).
func CheckHistory(v Version, f Features) error {
	if f.SlidingSync && !f.MembershipEventIndex {
		return fmt.Errorf("Synapse %s has no index on sliding_sync_membership_snapshots(membership_event_id): "+ //nolint:staticcheck // a name
			"each deleted event would read that whole table. Upgrade to 1.128 or later and let its background updates "+
			"finish, or: CREATE INDEX CONCURRENTLY sliding_sync_membership_snapshots_membership_event_id_idx "+
			"ON sliding_sync_membership_snapshots (membership_event_id)", v)
	}
	return nil
}

// HistoryWarnings are what an operator should know before history is purged on this release.
func HistoryWarnings(v Version) []string {
	var warnings []string
	if v.Before(Version{1, 124}) {
		warnings = append(warnings, fmt.Sprintf(
			"Synapse %s: a purge can make state_groups_state grow a lot (fixed in 1.124, synapse PR #18131)", v))
	}
	if v.Before(Version{1, 156}) {
		warnings = append(warnings, fmt.Sprintf(
			"Synapse %s: unread counters stay too high after a purge (fixed in 1.156)", v))
	}
	return warnings
}
