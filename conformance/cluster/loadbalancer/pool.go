package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// pool is a range of addresses, both ends included.
type pool struct{ first, last netip.Addr }

func parsePools(ranges []string) ([]pool, error) {
	var pools []pool
	for _, text := range ranges {
		first, last, _ := strings.Cut(text, "-")
		from, err := netip.ParseAddr(first)
		if err != nil {
			return nil, err
		}
		to, err := netip.ParseAddr(last)
		if err != nil {
			return nil, err
		}
		if from.Is4() != to.Is4() || to.Less(from) {
			return nil, fmt.Errorf("not a range: %s", text)
		}
		pools = append(pools, pool{from, to})
	}
	return pools, nil
}

func (p pool) family() corev1.IPFamily {
	if p.first.Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}

// choose takes the wanted address, if one is wanted, else the first free one.
func (p pool) choose(wanted netip.Addr, taken map[netip.Addr]bool) (netip.Addr, bool) {
	if wanted.IsValid() {
		return wanted, !wanted.Less(p.first) && !p.last.Less(wanted) && !taken[wanted]
	}
	for address := p.first; !p.last.Less(address); address = address.Next() {
		if !taken[address] {
			return address, true
		}
	}
	return netip.Addr{}, false
}

// give returns the Services whose addresses have to change, with the new ones in their status.
func give(services []corev1.Service, pools []pool) []*corev1.Service {
	taken := map[netip.Addr]bool{}
	var waiting, changed []*corev1.Service
	for i := range services {
		service := &services[i]
		switch has, wants := service.Status.LoadBalancer.Ingress, balanced(service); {
		case !wants && len(has) > 0 && service.Spec.Type != corev1.ServiceTypeLoadBalancer:
			service.Status.LoadBalancer.Ingress = nil
			changed = append(changed, service)
		case !wants:
		case serves(has, service.Spec):
			for _, ingress := range has {
				if address, err := netip.ParseAddr(ingress.IP); err == nil {
					taken[address] = true
				}
			}
		default:
			waiting = append(waiting, service)
		}
	}
	// The older first, so that what waits is what came last.
	slices.SortStableFunc(waiting, func(a, b *corev1.Service) int {
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	})
	for _, service := range waiting {
		before := len(service.Status.LoadBalancer.Ingress)
		service.Status.LoadBalancer.Ingress = addresses(service.Spec, pools, taken)
		if before > 0 || len(service.Status.LoadBalancer.Ingress) > 0 {
			changed = append(changed, service)
		}
	}
	return changed
}

// serves tells whether the addresses are one of each family, and the wanted one among them.
func serves(has []corev1.LoadBalancerIngress, spec corev1.ServiceSpec) bool {
	var families []corev1.IPFamily
	wanted := spec.LoadBalancerIP == ""
	for _, ingress := range has {
		family := corev1.IPv6Protocol
		if address, err := netip.ParseAddr(ingress.IP); err == nil && address.Is4() {
			family = corev1.IPv4Protocol
		}
		families = append(families, family)
		wanted = wanted || ingress.IP == spec.LoadBalancerIP
	}
	return wanted && slices.Equal(families, spec.IPFamilies)
}

// addresses are one of each of the Service's families, in its order, or none. A wanted address stands for its family.
func addresses(spec corev1.ServiceSpec, pools []pool, taken map[netip.Addr]bool) []corev1.LoadBalancerIngress {
	var wanted netip.Addr
	if spec.LoadBalancerIP != "" {
		var err error
		if wanted, err = netip.ParseAddr(spec.LoadBalancerIP); err != nil {
			return nil
		}
	}
	var given []corev1.LoadBalancerIngress
	for _, family := range spec.IPFamilies {
		at := slices.IndexFunc(pools, func(p pool) bool { return p.family() == family })
		if at < 0 {
			return nil
		}
		ofFamily := netip.Addr{}
		if wanted.IsValid() && wanted.Is4() == (family == corev1.IPv4Protocol) {
			ofFamily = wanted
		}
		address, ok := pools[at].choose(ofFamily, taken)
		if !ok {
			return nil
		}
		given = append(given, corev1.LoadBalancerIngress{IP: address.String()})
	}
	// Nothing is taken for a Service that goes without.
	for _, ingress := range given {
		taken[netip.MustParseAddr(ingress.IP)] = true
	}
	if wanted.IsValid() && !slices.ContainsFunc(given, func(i corev1.LoadBalancerIngress) bool { return i.IP == wanted.String() }) {
		return nil
	}
	return given
}
