// Package journal remembers the files of media whose rows are being deleted. Rows go first, files after them; whoever is
// killed in between leaves files that no row names any more. So the rows of a batch are written down, and are on disk,
// before their deletion is committed, and struck out when their files are gone. The next run finishes what is left.
//
// # Lines
//
// A journal is a file of lines: a checksum (CRC-32C, eight hexadecimal digits), a space, and a JSON object, which is the
// rows of a batch, or the end of one. Rows given a second time under the same number take the place of the first: the
// batch has shrunk to what could not be deleted. Each line begins with an end of line as well, so that nothing that comes
// before it can spoil it.
//
// A line without its checksum, or with a wrong one, is passed over and counted: a flipped bit must never name the files
// of somebody else. The last line may be cut short. Then it was not on disk when the process died, so nothing was
// committed on its strength.
//
// # Size
//
// A journal that has grown to a multiple of what is still open in it is written anew with only that, under another name,
// and put in its own place when it is on disk. In memory there is the place of each open batch, and no row.
//
// # Whose it is
//
// A journal belongs to one run at a time: it is locked while it is open. Whether a file may go is not for the journal to
// say: an entry counts only if no row has its key, because its deletion may not have been committed, or a backup may have
// brought the row back since.
package journal
