package sources

import (
	"synupkeep/internal/references"
)

// notes is what the next run will remember. That they cannot be written costs the next run time and nothing else.
type notes struct {
	say func(format string, args ...any)
	out *references.Writer
}

// begin begins anew.
func (n *notes) begin(r References, head references.Head) {
	n.drop()
	n.say = r.say
	if r.Memory == nil {
		return
	}
	out, err := r.Memory.Write(head)
	if err != nil {
		n.failed(err)
	}
	n.out = out
}

func (n *notes) add(stream int64, hashes []uint64) {
	if n.out == nil {
		return
	}
	if err := n.out.Add(stream, hashes); err != nil {
		n.failed(err)
		n.drop()
	}
}

func (n *notes) end() {
	if n.out == nil {
		return
	}
	if err := n.out.Commit(); err != nil {
		n.failed(err)
	}
	n.out = nil
}

// drop forgets what was written since begin.
func (n *notes) drop() {
	if n.out != nil {
		n.out.Abort()
		n.out = nil
	}
}

func (n *notes) failed(err error) {
	n.say("the next run will have to read all events again: %v", err)
}
