package config

import "strings"

// readLogin reads what CommandToken needs: where the token goes, and whose it is to be.
func (r *reader) readLogin(cfg *Config) {
	cfg.Token.File = r.path("token-file", "")
	if cfg.Token.File == "" {
		r.problem("--token-file", "", "is not given", "the file that the token is written to")
	}
	user, source, given := r.single("user")
	register := r.truth("register", false)
	switch {
	case !given && register:
		user = "synupkeep"
	case !given:
		r.problem("--user", "", "is not given", "the name of a server admin; or --register, to make a new one")
	case strings.TrimSpace(user) != user || user == "" || register && strings.ContainsAny(user, "@:"):
		r.problem(source, user, "is not a user", "a name such as admin, or an id such as @admin:example.org; with --register a name")
	}
	cfg.User = user
	cfg.IfNeeded = r.truth("if-needed", false)
	if register {
		cfg.Register = r.registrationSecret(cfg)
	}
}

// registrationSecret finds the server's registration secret, in the environment or in Synapse's own configuration.
func (r *reader) registrationSecret(cfg *Config) Secret {
	text := ""
	for _, name := range []string{"SYNUPKEEP_REGISTRATION_SHARED_SECRET", "SYNAPSE_REGISTRATION_SHARED_SECRET"} {
		if text == "" {
			text = r.secretVariable(name)
		}
	}
	if found := cfg.Synapse; text == "" && found != nil {
		text = found.RegistrationSecret
		if file := found.RegistrationSecretFile; text == "" && file != "" {
			content, _, err := readSecretFile(file)
			if err != nil {
				r.problem(found.Files[0], "", "its registration_shared_secret_path "+file+": "+err.Error(), "a file that can be read")
			}
			text = content
		}
	}
	if text == "" {
		r.problem("--register", "", "the server's registration secret is not known", "it in SYNUPKEEP_REGISTRATION_SHARED_SECRET or that and "+
			"_FILE, or a --homeserver-config that has registration_shared_secret")
		return Secret{}
	}
	r.hide(cfg, text)
	return NewSecret(text)
}
