package stock

import (
	"slices"
	"strings"
	"testing"

	"synupkeep/internal/sandbox"
)

// byItself are the tables that Synapse writes while nobody does anything. It notes that a token was used: access_tokens
// at once (api/auth/internal.py:238), user_ips, devices and the users of the month within seconds, user_daily_visits within
// minutes (storage/databases/main/client_ips.py:592-709, metrics.py:392-455). It forgets rooms in the background and notes
// how far it got (handlers/room_member.py, RoomForgetterHandler), and it takes and renews locks (storage/databases/main/lock.py;
// 1.163.2).
func byItself() []string {
	return []string{
		"access_tokens", "user_ips", "devices", "monthly_active_users", "user_daily_visits", "room_forgetter_stream_pos", "worker_locks",
		"worker_read_write_locks",
	}
}

// OfTables has a sum of the rows of every table, and of all sequences, but not of tables that Synapse writes by itself.
func OfTables(t testing.TB, s *sandbox.Server) map[string]string {
	t.Helper()
	names := All[string](t, s, `SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'r' AND n.nspname = 'public' UNION ALL SELECT 'pg_sequences' ORDER BY 1`)
	var sums []string
	for _, name := range names {
		if !slices.Contains(byItself(), name) {
			sums = append(sums, `SELECT '`+name+`: ' || count(*) || ' rows, ' ||
				COALESCE(md5(string_agg(md5(x.*::text), ' ' ORDER BY md5(x.*::text))), '') FROM `+name+` x`)
		}
	}
	all := map[string]string{}
	for _, line := range All[string](t, s, strings.Join(sums, " UNION ALL ")) {
		name, sum, _ := strings.Cut(line, ": ")
		all[name] = sum
	}
	return all
}
