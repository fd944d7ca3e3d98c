//! The kinds of objects that are read, and where the API has them.

/// A kind of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Ingress v1.
    Ingress,
    /// Which class is the default.
    IngressClass,
    /// Service v1.
    Service,
    /// Endpoints of Services.
    EndpointSlice,
    /// Nodes: addresses of Services of type NodePort.
    Node,
    /// Pods: names of their addresses inside the cluster.
    Pod,
    /// Namespaces: labels, and preview environments.
    Namespace,
    /// Gateway API: listeners.
    Gateway,
    /// Gateway API.
    HttpRoute,
    /// Gateway API.
    GrpcRoute,
    /// Gateway API.
    TlsRoute,
    /// Traefik.
    IngressRoute,
    /// Traefik.
    IngressRouteTcp,
    /// external-dns.
    DnsEndpoint,
    /// Our own: a zone with its SOA and name servers.
    Zone,
    /// Our own: one RRset.
    RecordSet,
    /// One ConfigMap with records.
    ConfigMap,
}

/// Where the API has a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The group; empty for the core.
    pub group: &'static str,
    /// The versions, the one that is preferred first.
    pub versions: &'static [&'static str],
    /// The name in paths.
    pub plural: &'static str,
    /// As people write it.
    pub name: &'static str,
    /// Whether its objects are in namespaces.
    pub is_namespaced: bool,
}

const GATEWAY: &str = "gateway.networking.k8s.io";
const TRAEFIK: &str = "traefik.io";

impl Kind {
    /// All, those that give names first.
    pub const ALL: [Self; 17] = [
        Self::Ingress,
        Self::IngressRoute,
        Self::IngressRouteTcp,
        Self::HttpRoute,
        Self::GrpcRoute,
        Self::TlsRoute,
        Self::Service,
        Self::DnsEndpoint,
        Self::Zone,
        Self::RecordSet,
        Self::ConfigMap,
        Self::Pod,
        Self::Gateway,
        Self::IngressClass,
        Self::EndpointSlice,
        Self::Namespace,
        Self::Node,
    ];

    /// As `kubectl` takes it: the kind, or its plural, in any case.
    pub fn find(word: &str) -> Option<Self> {
        let is_it = |kind: &&Self| {
            let place = kind.place();
            place.name.eq_ignore_ascii_case(word) || place.plural.eq_ignore_ascii_case(word)
        };
        Self::ALL.iter().find(is_it).copied()
    }

    /// What is watched where nothing is said: all but the ConfigMap, names of Gateways themselves, and what many
    /// changes or rights go with.
    pub fn default_watch() -> Vec<Self> {
        use Kind as K;
        [
            K::Ingress,
            K::IngressRoute,
            K::IngressRouteTcp,
            K::HttpRoute,
            K::GrpcRoute,
            K::TlsRoute,
            K::Service,
            K::DnsEndpoint,
            K::Zone,
            K::RecordSet,
        ]
        .into()
    }

    /// Where the API has it.
    pub const fn place(self) -> Place {
        let (group, versions, plural, name): (_, &'static [&'static str], _, _) = match self {
            Self::Ingress => ("networking.k8s.io", &["v1"], "ingresses", "Ingress"),
            Self::IngressClass => ("networking.k8s.io", &["v1"], "ingressclasses", "IngressClass"),
            Self::Service => ("", &["v1"], "services", "Service"),
            Self::EndpointSlice => ("discovery.k8s.io", &["v1"], "endpointslices", "EndpointSlice"),
            Self::Node => ("", &["v1"], "nodes", "Node"),
            Self::Pod => ("", &["v1"], "pods", "Pod"),
            Self::Namespace => ("", &["v1"], "namespaces", "Namespace"),
            Self::Gateway => (GATEWAY, &["v1", "v1beta1"], "gateways", "Gateway"),
            Self::HttpRoute => (GATEWAY, &["v1", "v1beta1"], "httproutes", "HTTPRoute"),
            Self::GrpcRoute => (GATEWAY, &["v1", "v1alpha2"], "grpcroutes", "GRPCRoute"),
            Self::TlsRoute => (GATEWAY, &["v1", "v1alpha3", "v1alpha2"], "tlsroutes", "TLSRoute"),
            Self::IngressRoute => (TRAEFIK, &["v1alpha1"], "ingressroutes", "IngressRoute"),
            Self::IngressRouteTcp => (TRAEFIK, &["v1alpha1"], "ingressroutetcps", "IngressRouteTCP"),
            Self::DnsEndpoint => ("externaldns.k8s.io", &["v1alpha1"], "dnsendpoints", "DNSEndpoint"),
            Self::Zone => ("hotdns.io", &["v1alpha1"], "zones", "Zone"),
            Self::RecordSet => ("hotdns.io", &["v1alpha1"], "recordsets", "RecordSet"),
            Self::ConfigMap => ("", &["v1"], "configmaps", "ConfigMap"),
        };
        Place {
            group,
            versions,
            plural,
            name,
            is_namespaced: !matches!(self, Self::IngressClass | Self::Namespace | Self::Node),
        }
    }

    /// As people write it.
    pub const fn name(self) -> &'static str {
        self.place().name
    }

    /// Whether it is a kind of ours, whose status says what became of it.
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::Zone | Self::RecordSet)
    }

    /// Whether it is a route of the Gateway API.
    pub const fn is_route(self) -> bool {
        matches!(self, Self::HttpRoute | Self::GrpcRoute | Self::TlsRoute)
    }

    /// Whether names of its own are published, in contrast to what is read for others' sake.
    pub const fn is_published(self) -> bool {
        !matches!(
            self,
            Self::IngressClass | Self::EndpointSlice | Self::Node | Self::Namespace
        )
    }
}
