package examples

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/goccy/go-yaml"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	mesh "istio.io/api/mesh/v1alpha1"
	istio "istio.io/api/networking/v1"
	security "istio.io/api/security/v1"
	core "k8s.io/api/core/v1"
	ingress "k8s.io/api/networking/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// kinds says how the documents of a kind are read. Istio's file for istiod is no object of Kubernetes.
var kinds = map[string]func(document []byte) error{
	"networking.k8s.io/v1 Ingress":             object[ingress.Ingress],
	"v1 ConfigMap":                             object[core.ConfigMap],
	"v1 Service":                               object[core.Service],
	"gateway.networking.k8s.io/v1 HTTPRoute":   object[gateway.HTTPRoute],
	"networking.istio.io/v1 VirtualService":    spec[*istio.VirtualService],
	"networking.istio.io/v1 DestinationRule":   spec[*istio.DestinationRule],
	"security.istio.io/v1 AuthorizationPolicy": spec[*security.AuthorizationPolicy],
	" ": func(document []byte) error { return protojson.Unmarshal(document, new(mesh.MeshConfig)) },
}

func object[T any](document []byte) error {
	d := json.NewDecoder(bytes.NewReader(document))
	d.DisallowUnknownFields()
	return d.Decode(new(T))
}

// spec reads an object whose spec is a message of Istio's.
func spec[T proto.Message](document []byte) error {
	var o struct {
		APIVersion, Kind string
		Metadata         core.ObjectReference // a name and a namespace, and no more
		Spec             json.RawMessage
	}
	d := json.NewDecoder(bytes.NewReader(document))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return err
	}
	var message T
	return protojson.Unmarshal(o.Spec, message.ProtoReflect().New().Interface())
}

func TestTheExamplesOfKubernetesAreWhatItsAPIsAskFor(t *testing.T) {
	for file, documents := range map[string]int{
		"gateway-api/httproute.yaml": 2, "ingress-nginx/ingress.yaml": 2, "istio/istio.yaml": 3, "istio/mesh.yaml": 1,
	} {
		text, err := os.ReadFile("../../deploy/examples/" + file)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for decoder := yaml.NewDecoder(bytes.NewReader(text)); ; n++ {
			var document map[string]any
			if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			version, _ := document["apiVersion"].(string)
			kind, _ := document["kind"].(string)
			read := kinds[version+" "+kind]
			if read == nil {
				t.Errorf("%s: %s %s is no kind that is known here", file, version, kind)
				continue
			}
			data, err := json.Marshal(document)
			if err == nil {
				err = read(data)
			}
			if err != nil {
				t.Errorf("%s: %s: %v", file, kind, err)
			}
		}
		if n != documents {
			t.Errorf("%s has %d documents, want %d", file, n, documents)
		}
	}
}
