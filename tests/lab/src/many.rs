//! Large configurations of the networks `acme` and `vendor`, for tests of scale and benchmarks.

/// A configuration with `count` services at one target; `gateway` and `service` are further keys of
/// the gateway and of each service.
pub fn services(gateway: &str, count: u32, service: &str) -> String {
    let mut text = format!("[gateway]\nname = \"gw-many\"\n{gateway}\n");
    for (name, subnet) in [("acme", "10.1.0.0/16"), ("vendor", "10.0.0.0/16")] {
        text += &format!(
            "[[network]]\nname = \"{name}\"\nprincipal = \"{name}\"\n\
             interface = \"veth-{name}\"\nsubnets = [\"{subnet}\"]\n"
        );
    }
    for number in 0..count {
        text += &format!(
            "[[service]]\nname = \"s{number}\"\nprincipal = \"vendor\"\nnetwork = \"vendor\"\n\
             source_addresses = [\"10.0.0.240/29\"]\ntarget = [{{ address = \"10.0.0.10\" }}]\n\
             {service}\n"
        );
    }
    text
}

/// A configuration with `count` endpoints in `acme`'s network, ten for each service.
pub fn endpoints(gateway: &str, count: u32) -> String {
    let service_count = count.div_ceil(10);
    let keys = "acceptance = \"automatic\"\nallow = [\"*\"]\n\
                listener = [{ protocol = \"tcp\", port = 7, target_port = 7777 }]";
    let mut text = services(gateway, service_count, keys);
    for endpoint in 0..count {
        text += &format!(
            "[[endpoint]]\nname = \"e{endpoint}\"\nservice = \"s{}\"\nnetwork = \"acme\"\n\
             addresses = [\"{}\"]\n",
            endpoint % service_count,
            address(endpoint)
        );
    }
    text
}

/// The address of an endpoint of [`endpoints`].
pub fn address(endpoint: u32) -> String {
    format!("10.1.{}.{}", 1 + endpoint / 200, 1 + endpoint % 200)
}
