package sandbox

import (
	"os"
	"path/filepath"
)

// hasty is run by Python before Synapse (a sitecustomize module) and makes three of its clocks run faster, all of which it
// has for the case that it was killed: that of its scheduler, which takes tasks up again once a minute
// (util/task_scheduler.py:100, 1.163.2), and those of a lock that nobody renews any more, two minutes
// (storage/databases/main/lock.py:53-56). Before Synapse 1.143 they are numbers of milliseconds. Python goes on after an
// error in such a module: what is not there any more must end it.
const hasty = `
import os, sys, traceback
try:
    from synapse.storage.databases.main import lock
    from synapse.util.task_scheduler import TaskScheduler
    for where, name, ms in ((TaskScheduler, "SCHEDULE_INTERVAL", 500), (lock, "_RENEWAL_INTERVAL", 500), (lock, "_LOCK_TIMEOUT", 3000)):
        if hasattr(where, name + "_MS"):
            setattr(where, name + "_MS", ms)
        else:
            setattr(where, name, type(getattr(where, name))(milliseconds=ms))
except Exception:
    traceback.print_exc()
    sys.stderr.flush()
    os._exit(70)
`

func (s *Server) hastyDir() string { return filepath.Join(s.dir, "hasty") }

func (s *Server) writeHasty() error {
	if err := os.MkdirAll(s.hastyDir(), 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.hastyDir(), "sitecustomize.py"), []byte(hasty), 0o600)
}
