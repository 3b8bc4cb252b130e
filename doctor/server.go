package doctor

import (
	"cmp"
	"context"
	"time"

	"synupkeep/connect"
	"synupkeep/internal/item"
	"synupkeep/internal/synapse"
)

// hiccups is how long a server is asked again that answers 500, as it does for a moment when its database was restarted.
const hiccups = 10 * time.Second

// noToken stands in for a token that could not be read: what needs none can be asked all the same.
type noToken struct{}

func (noToken) Token() string { return "" }

func (noToken) Renew() bool { return false }

func checkAPI(ctx context.Context, e *exam) finding {
	var source synapse.TokenSource = noToken{}
	if token, err := connect.NewToken(e.cfg.Token, e.log); err == nil {
		source = token
	}
	client := synapse.NewLooker(e.cfg.APIURL, source)
	learn := func(answers bool, text string, version synapse.Version) func(*exam) {
		return func(e *exam) { e.api, e.answers, e.serverVersion, e.version = client, answers, text, version }
	}
	text, version, err := connect.Version(ctx, client)
	if err != nil {
		f := refused(err, "Without the admin API no history is purged, and nothing tells whose the token is: a run is refused.")
		f.do = cmp.Or(f.do, "Give --api-url the address of a listener of Synapse that has the client resource.")
		f.learn = learn(text != "", text, version)
		return f
	}
	f := fine("Synapse %s answers at %s", text, e.cfg.APIURL)
	f.learn = learn(true, text, version)
	if e.flows(item.History) {
		f.details = synapse.HistoryWarnings(version)
	}
	if len(f.details) > 0 {
		f.result, f.means, f.do = Warning, "It works, and what is named below is what purging history costs on this release.", "Upgrade Synapse."
	}
	return f
}

func checkToken(ctx context.Context, e *exam) finding {
	const means = "Every call of a run would be refused: it ends with exit code 12 before it deletes anything."
	if _, err := e.cfg.Token.Read(); err != nil {
		return finding{result: Failure, found: err.Error(), means: means, do: "Put an admin's access token into that file, readable by us and by nobody else."}
	}
	user, err := connect.Admin(ctx, e.api, hiccups)
	if err != nil {
		return refused(err, means)
	}
	f := fine("that of %s, an admin", user)
	f.learn = func(e *exam) { e.user, e.serverName = user, connect.ServerName(user) }
	return f
}

func checkSameServer(ctx context.Context, e *exam) finding {
	same := connect.SameServer{API: e.api, APIURL: e.cfg.APIURL, DB: e.db, User: e.user, Config: e.cfg}
	warnings, err := same.Check(ctx)
	if err != nil {
		return refused(err, "What the database shows is not what the server shows: a run is refused, for it would delete by what is shown elsewhere.")
	}
	if len(warnings) > 0 {
		return finding{
			result: Warning, found: "as far as it can be told, database and server are one", means: "Not everything could be compared.",
			do: "Let the calls through that are named here, and have the role read what is.", details: warnings,
		}
	}
	return fine("database and server are both of %s, and at the same place", e.serverName)
}

// checkPurgeAPI asks for a purge that nobody knows: whoever serves that call serves the one that begins a purge.
func checkPurgeAPI(ctx context.Context, e *exam) finding {
	_, err := e.api.PurgeStatus(ctx, "synupkeep-doctor")
	if err == nil || synapse.Classify(err) == synapse.NotFound {
		return fine("history can be purged there")
	}
	return finding{
		result: Failure, found: err.Error(), means: "No history can be purged: the call that does it is not served at this address.",
		do: cmp.Or(synapse.Advice(err), "Synapse's own log says what went wrong there."),
	}
}

func checkMediaAPI(ctx context.Context, e *exam) finding {
	err := e.api.CheckMediaAPI(ctx, e.user)
	if err == nil {
		return fine("media can be deleted there")
	}
	return finding{
		result: Failure, found: err.Error(), means: "No media can be deleted through the API: the calls that do it are not served at this address.",
		do: cmp.Or(synapse.MediaAdvice(err), "Synapse's own log says what went wrong there."),
	}
}

func checkClocks(ctx context.Context, e *exam) finding {
	before := e.world.clock()
	database, err := e.db.Now(ctx)
	if err != nil {
		return unread(err)
	}
	ours := connect.OurClock(before, database, e.world.clock())
	server := ""
	if e.answers {
		if _, err := e.api.ServerVersion(ctx); err == nil { // for its date
			if at, told := e.api.Date(); told {
				if server, err = connect.ServerClock(database, at, connect.ServerSlack(e.youngest(database))); err != nil {
					return refused(err, "What is young would be deleted as old: a run is refused.")
				}
			}
		}
	}
	f := finding{
		result: Warning, found: "the clocks do not tell the same time", means: "Ages are counted by the database's clock, from the times that the server wrote down.",
		do: "Set the clocks right (chrony, systemd-timesyncd).",
	}
	for _, warning := range []string{ours, server} {
		if warning != "" {
			f.details = append(f.details, warning)
		}
	}
	if len(f.details) > 0 {
		return f
	}
	if !e.answers {
		return fine("this machine's and the database's agree; the server's could not be asked")
	}
	return fine("this machine's, the database's and the server's agree")
}

// youngest is the youngest age at which anything is deleted, 0 if none is known.
func (e *exam) youngest(now time.Time) (age time.Duration) {
	for _, f := range e.cfg.Flows {
		given, known := e.cfg.Ages[f]
		if !known {
			continue
		}
		if a := now.Sub(given.CutOff(now)); age == 0 || a < age {
			age = a
		}
	}
	return age
}
