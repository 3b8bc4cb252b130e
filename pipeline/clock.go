package pipeline

import (
	"context"
	"time"

	"synupkeep/connect"
)

// readClock takes the time of the run from the database, and warns of a local clock that tells another one.
func (r *run) readClock(ctx context.Context) (err error) {
	before := r.localClock()
	if r.now, err = r.db.Now(ctx); err != nil {
		return err
	}
	r.nowRead = time.Now()
	if warning := connect.OurClock(before, r.now, r.localClock()); warning != "" {
		r.warnings = append(r.warnings, warning)
	}
	return nil
}

// checkServerClock compares the database's clock with the server's, right after an answer of the server.
func (r *run) checkServerClock() error {
	server, told := r.api.Date()
	if !told {
		return nil
	}
	warning, err := connect.ServerClock(r.now.Add(time.Since(r.nowRead)), server, r.slack())
	if warning != "" {
		r.warnings = append(r.warnings, warning)
	}
	return err
}

func (r *run) slack() time.Duration {
	var youngest time.Duration
	for _, cutOff := range r.cutOffs {
		if age := r.now.Sub(cutOff); youngest == 0 || age < youngest {
			youngest = age
		}
	}
	return connect.ServerSlack(youngest)
}
