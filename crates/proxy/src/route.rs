//! What a listener does with requests, compiled once per snapshot: its rules,
//! their actions and what it changes about headers. Deciding neither
//! allocates nor waits; the same route serves HTTP/1 and HTTP/2.

use crate::choose::GroupLocal;
use crate::http::headers::{HeaderRules, ResponseEdits};
use crate::http::request::{RequestView, normalised_path};
use crate::local::NodeLocal;
use crate::log::ActionTaken;
use crate::state::BalancerState;
use elastane_domain::id::TargetGroupArn;
use elastane_domain::routing::{Action, Forward, Listener, LoadBalancer, OidcAction, Rule};
use elastane_domain::rules::{RedirectTemplate, Request, RewriteSet, RuleSet};
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;

/// A listener's part of the table.
pub(crate) struct Route {
    pub(crate) balancer: Arc<BalancerState>,
    /// The load balancer's ARN.
    pub(crate) balancer_arn: String,
    /// The load balancer's nodes; never empty.
    nodes: Vec<Rc<NodeLocal>>,
    pub(crate) port: u16,
    /// Longest silence, in milliseconds.
    pub(crate) idle_ms: u64,
    /// Longest life of a client's connection, in milliseconds.
    pub(crate) client_life_ms: u64,
    /// What happens to the headers of requests.
    pub(crate) headers: HeaderRules,
    /// What happens to the headers of responses; `None` for nothing.
    pub(crate) response: Option<ResponseEdits>,
    /// `None` with nothing but the default rule.
    matching: Option<RuleSet>,
    /// The default rule is the last.
    pub(crate) rules: Vec<RouteRule>,
    /// Whether a rule asks who the client is.
    pub(crate) authenticates: bool,
}

/// One rule.
pub(crate) struct RouteRule {
    /// 1 to 50,000; 0 for the default rule.
    pub(crate) priority: u32,
    /// What happens before the action to requests whose client is unknown.
    pub(crate) authenticate: Option<Rc<OidcAction>>,
    /// What changes before a request is sent; `None` for nothing.
    pub(crate) rewrites: Option<RewriteSet>,
    pub(crate) action: RouteAction,
}

/// What happens with a request.
pub(crate) enum RouteAction {
    Forward(ForwardAction),
    Redirect(RedirectTemplate),
    Fixed {
        status: u16,
        content_type: String,
        body: String,
    },
    /// The rule cannot be carried out: the control plane let something through
    /// that cannot be compiled. Answered with 500.
    Broken,
}

/// Forward to one of several groups.
pub(crate) struct ForwardAction {
    weights: Vec<u32>,
    pub(crate) groups: Vec<Rc<GroupLocal>>,
    /// How long a client stays with its group, in seconds.
    pub(crate) stickiness_secs: Option<u32>,
    /// Whether cookies say where requests go.
    pub(crate) sticky: bool,
}

impl ForwardAction {
    fn compile(forward: &Forward, groups: &impl Fn(&TargetGroupArn) -> Option<Rc<GroupLocal>>) -> ForwardAction {
        let known = |(arn, weight): &(TargetGroupArn, u32)| groups(arn).map(|group| (*weight, group));
        let (weights, groups): (Vec<u32>, Vec<Rc<GroupLocal>>) = forward.groups.iter().filter_map(known).unzip();
        let sticky = forward.stickiness_secs.is_some() || groups.iter().any(|group| group.stickiness().is_some());
        ForwardAction { weights, groups, stickiness_secs: forward.stickiness_secs, sticky }
    }

    /// One of the groups by their weights; `None` when all are zero. `draw` is
    /// evenly spread.
    pub(crate) fn choose(&self, draw: u64) -> Option<&Rc<GroupLocal>> {
        let index = match self.weights.as_slice() {
            [weight] if *weight > 0 => 0,
            weights => elastane_domain::choice::weighted(weights, draw)?,
        };
        self.groups.get(index)
    }
}

impl Route {
    /// Compiles a listener. A target group that `groups` does not know gets no requests.
    pub(crate) fn compile(
        listener: &Listener,
        balancer: &LoadBalancer,
        state: Arc<BalancerState>,
        nodes: Vec<Rc<NodeLocal>>,
        groups: impl Fn(&TargetGroupArn) -> Option<Rc<GroupLocal>>,
    ) -> Route {
        let compiled = if listener.rules.len() > 1 { RuleSet::compile(&listener.rules).map(Some) } else { Ok(None) };
        let broken = compiled.as_ref().err().map(|error| error.rule);
        let mut rules: Vec<_> =
            listener.rules.iter().enumerate().map(|(index, rule)| RouteRule::compile(index, rule, &groups)).collect();
        // What the API accepts can be compiled. Should it not, requests must
        // not quietly go where an earlier rule would not have let them.
        if broken.is_some() || rules.is_empty() {
            rules = vec![RouteRule { priority: 0, authenticate: None, rewrites: None, action: RouteAction::Broken }];
        }
        Route {
            balancer: state,
            balancer_arn: balancer.arn.as_str().to_owned(),
            nodes,
            port: listener.port,
            idle_ms: u64::from(balancer.options.idle_timeout_secs) * 1000,
            client_life_ms: u64::from(balancer.options.client_keep_alive_secs) * 1000,
            headers: HeaderRules::compile(listener, balancer),
            response: ResponseEdits::compile(listener),
            matching: compiled.unwrap_or(None),
            authenticates: rules.iter().any(|rule| rule.authenticate.is_some()),
            rules,
        }
    }

    /// The node of this address, else the first one.
    pub(crate) fn node(&self, address: Ipv4Addr) -> Rc<NodeLocal> {
        let found = self.nodes.iter().find(|node| node.state.address == address);
        found.unwrap_or(&self.nodes[0]).clone()
    }

    /// The index of the rule that a request hits, and how many rules count as
    /// evaluated for it.
    pub(crate) fn decide<R: Request>(&self, request: &R) -> (usize, u32) {
        match &self.matching {
            None => (0, 0),
            Some(matching) => {
                let index = matching.decide(request);
                (index, matching.evaluations(index))
            }
        }
    }

    /// Like [`Route::decide`] for an HTTP/1 head; without matching nothing of it is looked at.
    pub(crate) fn decide_head(&self, view: &RequestView<'_, '_>, source: IpAddr) -> (usize, u32) {
        match &self.matching {
            None => (0, 0),
            Some(_) => self.decide(&Seen { view, source, path: normalised_path(view.path()) }),
        }
    }
}

impl RouteRule {
    fn compile(index: usize, rule: &Rule, groups: &impl Fn(&TargetGroupArn) -> Option<Rc<GroupLocal>>) -> RouteRule {
        let rewrites = RewriteSet::compile(index, &rule.transforms);
        let action = match &rule.action {
            _ if rewrites.is_err() => RouteAction::Broken,
            Action::Forward(forward) => RouteAction::Forward(ForwardAction::compile(forward, groups)),
            Action::Redirect(redirect) => RouteAction::Redirect(RedirectTemplate::compile(redirect)),
            Action::FixedResponse { status, content_type, body } => {
                RouteAction::Fixed { status: *status, content_type: content_type.clone(), body: body.clone() }
            }
        };
        RouteRule {
            priority: rule.priority.unwrap_or(0),
            authenticate: rule.authenticate.as_deref().map(|action| Rc::new(action.clone())),
            rewrites: rewrites.ok().filter(|rewrites| !rewrites.is_empty()),
            action,
        }
    }
}

impl RouteRule {
    /// What the access log says is done.
    pub(crate) fn taken(&self) -> Option<ActionTaken> {
        match self.action {
            RouteAction::Forward(_) => Some(ActionTaken::Forward),
            RouteAction::Redirect(_) => Some(ActionTaken::Redirect),
            RouteAction::Fixed { .. } => Some(ActionTaken::FixedResponse),
            RouteAction::Broken => None,
        }
    }
}

/// A request head as rules see it.
struct Seen<'v, 't, 'b> {
    view: &'v RequestView<'t, 'b>,
    source: IpAddr,
    /// The path, where it is not in its normal form.
    path: Option<Vec<u8>>,
}

impl Request for Seen<'_, '_, '_> {
    fn method(&self) -> &[u8] {
        self.view.method().as_bytes()
    }

    fn host(&self) -> &[u8] {
        self.view.host_name()
    }

    fn path(&self) -> &[u8] {
        self.path.as_deref().unwrap_or_else(|| self.view.path())
    }

    fn query(&self) -> Option<&[u8]> {
        self.view.query()
    }

    fn each_header(&self, each: &mut dyn FnMut(&[u8], &[u8])) {
        self.view.headers().for_each(|(name, value)| each(name, value));
    }

    fn source(&self) -> IpAddr {
        self.source
    }
}
