//! The manifests: rendered by `kubectl kustomize`, read strictly by Kubernetes' own schema, and held to what they promise.

use crate::tools::{check, configuration, file, pipe, run, tool, yaml};
use hefu::config;
use serde_json::Value;

/// The base and every overlay, with the mode that they put its channel into and how many replicas they run.
const RENDERED: [(&str, &str, u64); 4] = [
    ("base", "Uninspected", 1),
    ("overlays/observe", "Observe", 1),
    ("overlays/enforce", "Enforce(1)", 1),
    ("overlays/shared-postgres", "Enforce(1)", 3),
];

/// What a service manager leaves to whom it ends beside the drain: answers that are under way are flushed.
const BESIDE_THE_DRAIN_SECONDS: u64 = 10;

fn render(place: &str) -> Option<String> {
    let kubectl = tool("kubectl")?;
    let place = file("deploy/kubernetes").join(place);
    Some(run(&kubectl, &["kustomize", place.to_str().unwrap()]))
}

fn of<'d>(documents: &'d [Value], kind: &str) -> &'d Value {
    documents.iter().find(|document| document["kind"] == kind).unwrap()
}

/// Whether every label of `selector` is one of `labels`.
fn selects(selector: &Value, labels: &Value) -> bool {
    let selector = selector.as_object().unwrap();
    !selector.is_empty() && selector.iter().all(|(name, value)| labels[name] == *value)
}

#[test]
fn manifests_are_strictly_valid() {
    let Some(validate) = tool("kubernetes-validate") else { return };
    for (place, _, _) in RENDERED {
        let Some(rendered) = render(place) else { return };
        let folder = tempfile::tempdir().unwrap();
        let manifest = folder.path().join("all.yaml");
        let manifest = manifest.to_str().unwrap();
        std::fs::write(manifest, &rendered).unwrap();
        let said = run(&validate, &["--strict", "--quiet", manifest]);
        // The one kind that is not Kubernetes' own; `what_they_promise` looks at it.
        let unknown: Vec<&str> = said.lines().filter(|line| !line.contains("PodMonitor")).collect();
        assert!(
            unknown.is_empty() && said.contains("schema for kind PodMonitor"),
            "{place}: {said}"
        );
        std::fs::write(manifest, rendered.replace("restartPolicy:", "restartpolicy:")).unwrap();
        let (valid, _) = crate::tools::ask(&validate, &["--strict", "--quiet", manifest]);
        assert!(!valid, "{place}: a key that does not exist was taken");
    }
}

#[test]
fn manifests_keep_what_they_promise() {
    for (place, mode, replicas) in RENDERED {
        let Some(documents) = render(place).and_then(|rendered| yaml(&rendered)) else { return };
        let workload = &of(&documents, "StatefulSet")["spec"];
        assert_eq!(workload["replicas"], replicas, "{place}");
        let template = &workload["template"];
        let labels = &template["metadata"]["labels"];
        for (selector, kind) in [
            (&workload["selector"]["matchLabels"], "StatefulSet"),
            (&of(&documents, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"], "budget"),
            (&of(&documents, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"], "policy"),
            (&of(&documents, "PodMonitor")["spec"]["selector"]["matchLabels"], "monitor"),
            (&of(&documents, "Service")["spec"]["selector"], "service"),
        ] {
            assert!(selects(selector, labels), "{place}: {kind} selects {selector}");
        }
        let pod = &template["spec"];
        let hefu = &pod["initContainers"][0];
        sidecar(place, pod, hefu);
        configured(place, mode, &documents, pod);
        let monitored = &of(&documents, "PodMonitor")["spec"]["podMetricsEndpoints"][0]["port"];
        let ports = hefu["ports"].as_array().unwrap();
        assert!(ports.iter().any(|port| port["name"] == *monitored), "{place}: {monitored}");
        // The cluster's DNS keeps its own label.
        let dns = &of(&documents, "NetworkPolicy")["spec"]["egress"][0]["to"][0]["podSelector"];
        assert_eq!(dns["matchLabels"], serde_json::json!({ "k8s-app": "kube-dns" }), "{place}");
    }
}

fn sidecar(place: &str, pod: &Value, hefu: &Value) {
    assert_eq!(hefu["restartPolicy"], "Always", "{place}: no native sidecar");
    for probe in ["startupProbe", "readinessProbe"] {
        assert_eq!(hefu[probe]["httpGet"]["path"], "/readyz", "{place}: {probe}");
    }
    let security = &hefu["securityContext"];
    assert_eq!(security["readOnlyRootFilesystem"], true, "{place}");
    assert_eq!(security["allowPrivilegeEscalation"], false, "{place}");
    assert_eq!(security["capabilities"]["drop"][0], "ALL", "{place}");
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{place}");
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{place}");
    assert_eq!(pod["automountServiceAccountToken"], false, "{place}");
    let mounted = hefu["volumeMounts"].as_array().unwrap();
    let named = |name: &Value| {
        let volumes = pod["volumes"].as_array().unwrap();
        name == "data" || volumes.iter().any(|volume| volume["name"] == *name)
    };
    assert!(mounted.iter().all(|mount| named(&mount["name"])), "{place}: {mounted:?}");
}

/// The configuration is one that Hefu takes, and the pod is given time for its drain.
fn configured(place: &str, mode: &str, documents: &[Value], pod: &Value) {
    let data = &of(documents, "ConfigMap")["data"];
    let named: Vec<(&str, &str)> =
        ["hefu.toml", "policy.toml"].map(|name| (name, data[name].as_str().unwrap())).to_vec();
    let folder = configuration("/run/secrets/hefu", &named);
    check(folder.path());
    let loaded = config::load(folder.path()).map_err(|problems| problems.to_string()).unwrap();
    let modes: Vec<String> =
        loaded.channels.values().map(|channel| format!("{:?}", channel.mode)).collect();
    assert_eq!(modes, [mode], "{place}");
    let core = &pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"];
    let needed =
        loaded.drain.deadline.as_secs() + core.as_u64().unwrap() + BESIDE_THE_DRAIN_SECONDS;
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(grace >= needed, "{place}: {grace} s for what may take {needed} s");
}

#[test]
fn labels_of_other_peoples_pods_are_not_touched() {
    // What Kustomize would do with `includeSelectors`, which is why selectors are written out.
    let (Some(kubectl), Some(_)) = (tool("kubectl"), tool("python")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (file("deploy/kubernetes/base"), folder.path().join("base"));
    let copied = std::process::Command::new("cp").arg("-r").arg(from).arg(&to).status();
    assert!(copied.unwrap().success());
    let written = to.join("kustomization.yaml");
    let text = std::fs::read_to_string(&written).unwrap();
    std::fs::write(&written, text.replace("includeTemplates", "includeSelectors")).unwrap();
    let (_, rendered) = pipe(&kubectl, &["kustomize", to.to_str().unwrap()], "");
    let documents = yaml(&rendered).unwrap();
    let dns = &of(&documents, "NetworkPolicy")["spec"]["egress"][0]["to"][0]["podSelector"];
    assert_ne!(dns["matchLabels"], serde_json::json!({ "k8s-app": "kube-dns" }));
}
