package sandbox

import (
	"fmt"
	"path/filepath"
)

// ServerName is Synapse's server_name.
func (s *Server) ServerName() string { return s.state.ServerName }

// Dir is the directory that holds everything, logs included.
func (s *Server) Dir() string { return s.dir }

// MediaStore is Synapse's media_store_path.
func (s *Server) MediaStore() string { return filepath.Join(s.dir, "media") }

// AdminToken is the access token of the server admin, @admin.
func (s *Server) AdminToken() string { return s.state.AdminToken }

// PGHost is the address of PostgreSQL.
func (s *Server) PGHost() string { return "127.0.0.1" }

// PGPort is the TCP port of PostgreSQL.
func (s *Server) PGPort() int { return s.cluster.port }

// PGUser is the role that owns Synapse's database.
func (s *Server) PGUser() string { return roleSynapse }

// PGPassword is the password of the roles that may connect through TCP.
func (s *Server) PGPassword() string { return s.state.Password }

// Database is the name of Synapse's database.
func (s *Server) Database() string { return databaseName }

// ConnString is the connection string in keyword form for Synapse's own role, through TCP.
func (s *Server) ConnString() string { return s.connString(roleSynapse) }

// OutsiderConnString is that of a role that can connect and may read nothing.
func (s *Server) OutsiderConnString() string { return s.connString(roleOutsider) }

func (s *Server) connString(role string) string {
	return fmt.Sprintf("host=%s port=%d user=%s password=%s dbname=%s sslmode=disable",
		s.PGHost(), s.PGPort(), role, s.PGPassword(), databaseName)
}

// Python is the interpreter of the environment, for checks with Synapse's own code.
func (s *Server) Python() string { return s.env.python() }
