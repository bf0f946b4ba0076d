//! CloudWatch's names for what load balancers count: which family has them,
//! in which unit, and below which dimensions (alb.md 11 and 13).

use elastane_domain::routing::Family;
use elastane_domain::series::Unit;

/// Where a metric is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// By load balancer, and by load balancer and zone of the node.
    Balancer,
    /// By load balancer only.
    BalancerOnly,
    /// Also by target group, and by target group and zone of the target.
    Both,
    /// By target group only, and by zone.
    Group,
}

/// A plain count or sum; zeros are not published.
pub(super) struct Plain {
    pub(super) name: &'static str,
    pub(super) unit: Unit,
    pub(super) level: Level,
}

const fn count(name: &'static str, level: Level) -> Plain {
    Plain { name, unit: Unit::Count, level }
}

const fn bytes(name: &'static str) -> Plain {
    Plain { name, unit: Unit::Bytes, level: Level::Balancer }
}

const APPLICATION: &[Plain] = &[
    count("HTTPCode_ELB_3XX_Count", Level::Balancer),
    count("HTTPCode_ELB_4XX_Count", Level::Balancer),
    count("HTTPCode_ELB_5XX_Count", Level::Balancer),
    count("HTTPCode_ELB_500_Count", Level::Balancer),
    count("HTTPCode_ELB_502_Count", Level::Balancer),
    count("HTTPCode_ELB_503_Count", Level::Balancer),
    count("HTTPCode_ELB_504_Count", Level::Balancer),
    count("HTTPCode_Target_2XX_Count", Level::Both),
    count("HTTPCode_Target_3XX_Count", Level::Both),
    count("HTTPCode_Target_4XX_Count", Level::Both),
    count("HTTPCode_Target_5XX_Count", Level::Both),
    count("ActiveConnectionCount", Level::Balancer),
    count("NewConnectionCount", Level::Balancer),
    count("RejectedConnectionCount", Level::Balancer),
    count("TargetConnectionErrorCount", Level::Both),
    count("TargetTLSNegotiationErrorCount", Level::Both),
    count("ClientTLSNegotiationErrorCount", Level::Balancer),
    bytes("ProcessedBytes"),
    bytes("IPv6ProcessedBytes"),
    count("IPv6RequestCount", Level::Balancer),
    count("RuleEvaluations", Level::BalancerOnly),
    count("HTTP_Fixed_Response_Count", Level::Balancer),
    count("HTTP_Redirect_Count", Level::Balancer),
    count("HTTP_Redirect_Url_Limit_Exceeded_Count", Level::Balancer),
    count("NonStickyRequestCount", Level::Balancer),
    count("GrpcRequestCount", Level::Balancer),
    count("DesyncMitigationMode_NonCompliant_Request_Count", Level::Balancer),
    count("DroppedInvalidHeaderRequestCount", Level::Balancer),
    count("ForwardedInvalidHeaderRequestCount", Level::Balancer),
    count("UnhealthyRoutingRequestCount", Level::Group),
    count("ELBAuthSuccess", Level::Balancer),
    count("ELBAuthFailure", Level::Balancer),
    count("ELBAuthError", Level::Balancer),
];

const NETWORK: &[Plain] = &[
    count("ActiveFlowCount", Level::Balancer),
    count("ActiveFlowCount_TCP", Level::Balancer),
    count("ActiveFlowCount_TLS", Level::Balancer),
    count("ActiveFlowCount_UDP", Level::Balancer),
    count("NewFlowCount", Level::Balancer),
    count("NewFlowCount_TCP", Level::Balancer),
    count("NewFlowCount_TLS", Level::Balancer),
    count("NewFlowCount_UDP", Level::Balancer),
    bytes("ProcessedBytes"),
    bytes("ProcessedBytes_TCP"),
    bytes("ProcessedBytes_TLS"),
    bytes("ProcessedBytes_UDP"),
    count("ProcessedPackets", Level::Balancer),
    count("TCP_Client_Reset_Count", Level::Balancer),
    count("TCP_Target_Reset_Count", Level::Balancer),
    count("TCP_ELB_Reset_Count", Level::Balancer),
    count("ClientTLSNegotiationErrorCount", Level::Balancer),
    count("TargetTLSNegotiationErrorCount", Level::Balancer),
    count("RejectedFlowCount", Level::Balancer),
    count("UnhealthyRoutingFlowCount", Level::Group),
];

/// The namespace of a family.
pub(super) fn namespace(family: Family) -> &'static str {
    match family {
        Family::Application => "AWS/ApplicationELB",
        Family::Network => "AWS/NetworkELB",
    }
}

/// The plain metrics of a family.
pub(super) fn plain(family: Family) -> &'static [Plain] {
    match family {
        Family::Application => APPLICATION,
        Family::Network => NETWORK,
    }
}

impl Level {
    /// Whether it is published by load balancer.
    pub(super) fn of_balancer(self) -> bool {
        !matches!(self, Level::Group)
    }

    /// Whether it is published by load balancer and zone of the node.
    pub(super) fn of_balancer_zone(self) -> bool {
        matches!(self, Level::Balancer | Level::Both)
    }

    /// Whether it is published by target group.
    pub(super) fn of_group(self) -> bool {
        matches!(self, Level::Both | Level::Group)
    }
}
