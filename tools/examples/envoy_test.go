// Package examples checks the examples of programs that no test runs against the definitions of their own APIs: every field
// exists, has its type, and keeps to the rules of the definition, which is what the programs look at first. A module of its
// own, since nothing of Referee needs these APIs.
package examples

import (
	"os"
	"path/filepath"
	"testing"

	bootstrap "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"github.com/goccy/go-yaml"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
	"google.golang.org/protobuf/reflect/protoreflect"
)

func TestTheExamplesOfEnvoyAreWhatItsAPIAsksFor(t *testing.T) {
	examples, err := filepath.Glob("../../deploy/examples/envoy-*/envoy.yaml")
	if err != nil || len(examples) != 2 {
		t.Fatalf("%d examples, %v", len(examples), err)
	}
	for _, example := range examples {
		t.Run(filepath.Base(filepath.Dir(example)), func(t *testing.T) {
			text, err := os.ReadFile(example)
			if err != nil {
				t.Fatal(err)
			}
			data, err := yaml.YAMLToJSON(text)
			if err != nil {
				t.Fatal(err)
			}
			var b bootstrap.Bootstrap
			if err := protojson.Unmarshal(data, &b); err != nil {
				t.Fatal(err)
			}
			// What stands in an Any is a message of its own, with rules of its own.
			checked := 0
			if err := protorange.Range(b.ProtoReflect(), func(at protopath.Values) error {
				message, ok := at.Index(-1).Value.Interface().(protoreflect.Message)
				if !ok {
					return nil
				}
				if v, ok := message.Interface().(interface{ Validate() error }); ok {
					checked++
					return v.Validate()
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
			t.Logf("%d messages", checked)
		})
	}
}
