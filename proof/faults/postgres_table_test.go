package faults_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func itoa(n int) string { return strconv.Itoa(n) }

// toPostgres are faults between the run and PostgreSQL. Whatever ends the session of the lock ends the run: another one
// could begin.
func toPostgres() []fault {
	return []fault{
		{name: "few bytes, late, one by one, on connections that close late", codes: []int{0}, inflict: slow(pg, 100)},
		{name: "a pause of two seconds", long: true, at: inMedia, lasts: 2 * time.Second, codes: []int{0}, inflict: func(t *testing.T, x *through) func() {
			return x.pg.toxic(t, "latency", "downstream", `"latency":3000`)
		}},
		{name: "every connection but that of the lock is ended, again and again, in history", long: true, at: inHistory, lasts: time.Second, codes: []int{0, 3}, inflict: sessionsEnd},
		{name: "every connection but that of the lock is ended, again and again, while media goes", at: inMedia, lasts: time.Second, codes: []int{0, 3}, inflict: sessionsEnd},
		{name: "every connection is cut in history", at: inHistory, lasts: time.Second, codes: []int{1}, inflict: func(t *testing.T, x *through) func() {
			return x.pg.cut(t)
		}},
		{name: "every connection is cut while media goes", long: true, at: inMedia, lasts: time.Second, codes: []int{1}, inflict: func(t *testing.T, x *through) func() {
			return x.pg.cut(t)
		}},
		{name: "connections are reset for a second while media goes", long: true, at: inMedia, lasts: time.Second, codes: []int{1}, inflict: func(t *testing.T, x *through) func() {
			return x.pg.toxic(t, "reset_peer", "downstream", `"timeout":0`)
		}},
		{name: "statements are cut in the middle while media goes", long: true, at: inMedia, codes: []int{0, 1, 3}, inflict: func(t *testing.T, x *through) func() {
			return x.pg.toxic(t, "limit_data", "upstream", `"bytes":3000`)
		}},
		{name: "answers are cut in the middle from the begin", long: true, codes: []int{1}, inflict: func(t *testing.T, x *through) func() {
			return x.pg.toxic(t, "limit_data", "downstream", `"bytes":9000`)
		}},
		{name: "nothing answers for two seconds in history", long: true, at: inHistory, lasts: 2 * time.Second, codes: []int{1}, inflict: func(t *testing.T, x *through) func() {
			return x.pg.toxic(t, "timeout", "downstream", `"timeout":0`)
		}},
		{name: "nothing arrives for two seconds while media goes", at: inMedia, lasts: 2 * time.Second, codes: []int{1}, inflict: func(t *testing.T, x *through) func() {
			return x.pg.toxic(t, "timeout", "upstream", `"timeout":0`)
		}},
		{name: "away for good in history", long: true, at: inHistory, codes: []int{1}, inflict: func(t *testing.T, x *through) func() {
			return x.pg.down(t)
		}},
		{name: "away for good while media goes", long: true, at: inMedia, codes: []int{1}, inflict: func(t *testing.T, x *through) func() {
			return x.pg.down(t)
		}},
		{name: "both servers are cut off at once for a second", long: true, at: inHistory, lasts: time.Second, codes: []int{1}, inflict: func(t *testing.T, x *through) func() {
			pg, api := x.pg.down(t), x.api.down(t)
			return func() { pg(); api() }
		}},
	}
}

// sessionsEnd ends the sessions of the run every 50 ms, but for that of the lock.
func sessionsEnd(t *testing.T, x *through) func() {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := x.s.WithDB(ctx, func(ctx context.Context, db *pgx.Conn) error {
			for ctx.Err() == nil {
				if _, err := db.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'synupkeep'
					AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')`); err != nil {
					return err
				}
				select {
				case <-ctx.Done():
				case <-time.After(50 * time.Millisecond):
				}
			}
			return nil
		})
		if err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

func TestFaultsBetweenTheRunAndPostgreSQL(t *testing.T) {
	t.Parallel()
	tested(t, toPostgres())
}
