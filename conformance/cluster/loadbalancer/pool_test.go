package main

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func service(name string, change func(*corev1.Service)) corev1.Service {
	service := corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}}}
	service.Name = name
	if change != nil {
		change(&service)
	}
	return service
}

func TestGive(t *testing.T) {
	pools, err := parsePools([]string{"192.0.2.1-192.0.2.3", "2001:db8::1-2001:db8::3"})
	if err != nil {
		t.Fatal(err)
	}
	has := func(ips ...string) func(*corev1.Service) {
		return func(s *corev1.Service) {
			for _, ip := range ips {
				s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: ip})
			}
		}
	}
	wants := func(ip string) func(*corev1.Service) {
		return func(s *corev1.Service) { s.Spec.LoadBalancerIP = ip }
	}
	both := func(s *corev1.Service) {
		s.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol, corev1.IPv4Protocol}
	}
	for name, test := range map[string]struct {
		services []corev1.Service
		want     map[string][]string
	}{
		"the first free address":                {[]corev1.Service{service("has", has("192.0.2.1")), service("new", nil)}, map[string][]string{"new": {"192.0.2.2"}}},
		"one of each family, in order":          {[]corev1.Service{service("new", both)}, map[string][]string{"new": {"2001:db8::1", "192.0.2.1"}}},
		"the wanted address":                    {[]corev1.Service{service("new", wants("192.0.2.3"))}, map[string][]string{"new": {"192.0.2.3"}}},
		"none when the wanted one is taken":     {[]corev1.Service{service("has", has("192.0.2.3")), service("new", wants("192.0.2.3"))}, nil},
		"none when the wanted one is elsewhere": {[]corev1.Service{service("new", wants("198.51.100.1"))}, nil},
		"another when another is wanted": {[]corev1.Service{service("new", func(s *corev1.Service) {
			has("192.0.2.1")(s)
			wants("192.0.2.2")(s)
		})}, map[string][]string{"new": {"192.0.2.2"}}},
		"a second family later": {[]corev1.Service{service("new", func(s *corev1.Service) {
			has("192.0.2.1")(s)
			both(s)
		})}, map[string][]string{"new": {"2001:db8::1", "192.0.2.1"}}},
		"none for another type": {[]corev1.Service{service("new", func(s *corev1.Service) {
			has("192.0.2.1")(s)
			s.Spec.Type = corev1.ServiceTypeClusterIP
		})}, map[string][]string{"new": nil}},
		"none when the pool is empty": {[]corev1.Service{
			service("a", has("192.0.2.1")), service("b", has("192.0.2.2")), service("c", has("192.0.2.3")), service("new", nil),
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			changed := give(test.services, pools)
			if len(changed) != len(test.want) {
				t.Fatalf("%d changed, want %d", len(changed), len(test.want))
			}
			for _, service := range changed {
				var ips []string
				for _, ingress := range service.Status.LoadBalancer.Ingress {
					ips = append(ips, ingress.IP)
				}
				if !slices.Equal(ips, test.want[service.Name]) {
					t.Errorf("%s has %v, want %v", service.Name, ips, test.want[service.Name])
				}
			}
		})
	}
}

func TestParsePools(t *testing.T) {
	for _, wrong := range []string{"", "192.0.2.1", "192.0.2.2-192.0.2.1", "192.0.2.1-2001:db8::1"} {
		if _, err := parsePools([]string{wrong}); err == nil {
			t.Errorf("%q was taken", wrong)
		}
	}
}
