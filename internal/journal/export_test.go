package journal

// SetSmall changes up to which size in bytes the journal is never written anew.
func (j *Journal) SetSmall(n int64) { j.small = n }
