package main

import (
	"context"
	"database/sql"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"referee/ledger"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"referee": main})
}

func TestCommandLine(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"listener":     listener,
			"newer-ledger": newerLedger,
			"waf-endpoint": wafEndpoint,
			"decide":       decide,

			"tamper-ledger": tamperLedger,
		},
	})
}

// listener binds a free port until the script ends, and puts its address into a variable.
func listener(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

// newerLedger makes a ledger as a later version of the program would.
func newerLedger(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.MkdirAll(args[0], 0o700))
	l, err := ledger.Open(context.Background(), args[0])
	ts.Check(err)
	ts.Check(l.Close())
	db, err := sql.Open("sqlite", filepath.Join(args[0], "referee.db"))
	ts.Check(err)
	_, err = db.Exec("PRAGMA user_version = 1000")
	ts.Check(err)
	ts.Check(db.Close())
}

// tamperLedger runs a statement on a ledger behind its back.
func tamperLedger(ts *testscript.TestScript, _ bool, args []string) {
	db, err := sql.Open("sqlite", filepath.Join(ts.MkAbs(args[0]), "referee.db"))
	ts.Check(err)
	_, err = db.Exec(args[1])
	ts.Check(err)
	ts.Check(db.Close())
}
